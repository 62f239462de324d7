"""A TIFF's list of strips or tiles, counted before it is read: Pillow holds 250 bytes of memory for each."""

import struct
from collections.abc import Iterator
from typing import Final

from nst_core.images.files.parts import MAX_PARTS, Part, check_parts

_MOST_TAGS: Final = 4096
_PLACES: Final = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}
"""Tags with one value for each strip or tile: where it is, and how long."""
_SAMPLE_FORMAT, _FLOAT = 339, 3


def parts(data: bytes) -> list[Part]:
    """The file as it is, in one part.

    Raises:
        TooManyParts: of strips, tiles or tags.
    """
    try:
        for tag, count, _ in _tags(data):
            if tag in _PLACES and 2 * count <= len(data):  # there are not more, whatever it says
                check_parts(count, _PLACES[tag], MAX_PARTS)
    except (struct.error, OverflowError):  # cut short, or a place beyond any file
        pass
    return [data]


def is_float(data: bytes) -> bool:
    """Whether the first picture is of floating point numbers."""
    order, is_big = _kind(data)
    try:
        for tag, count, field in _tags(data):
            if tag == _SAMPLE_FORMAT:
                is_inline = 2 * count <= (8 if is_big else 4)
                at = field if is_inline else struct.unpack_from(order + ("Q" if is_big else "I"), data, field)[0]
                return bool(struct.unpack_from(order + "H", data, at)[0] == _FLOAT)
    except (struct.error, OverflowError):
        pass
    return False


def _kind(data: bytes) -> tuple[str, bool]:
    """Its byte order, as `struct` has it, and whether it is a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", 43 in data[2:4]


def _tags(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, count of values and place of the value, or of its address, of each tag of the first picture."""
    order, is_big = _kind(data)
    first, number, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    at = struct.unpack_from(order + first, data, 8 if is_big else 4)[0]
    (tags,) = struct.unpack_from(order + number, data, at)
    at, entry_bytes = at + struct.calcsize(order + number), struct.calcsize(order + entry)
    here = max(0, min(tags, (len(data) - at) // entry_bytes))
    check_parts(here, "tags", _MOST_TAGS)
    for place in range(here):
        start = at + place * entry_bytes
        tag, _, count, _ = struct.unpack_from(order + entry, data, start)
        yield tag, count, start + (12 if is_big else 8)
