"""A TIFF's list of strips or tiles, counted before it is read: Pillow holds 250 bytes of memory for each."""

import struct
from collections.abc import Iterator
from typing import Final

from nst_core.images.parts import MAX_PARTS, Part, check_parts

_MOST_TAGS: Final = 4096
_PLACES: Final = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}
"""Tags with one value for each strip or tile: where it is, and how long."""


def parts(data: bytes) -> list[Part]:
    """The file as it is, in one part.

    Raises:
        TooManyParts: of strips, tiles or tags.
    """
    try:
        for tag, count in _tags(data):
            if tag in _PLACES and 2 * count <= len(data):  # there are not more, whatever it says
                check_parts(count, _PLACES[tag], MAX_PARTS)
    except (struct.error, OverflowError):  # cut short, or a place beyond any file
        pass
    return [data]


def _tags(data: bytes) -> Iterator[tuple[int, int]]:
    """Number and count of values of each tag of the first picture."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in data[2:4]
    first, number, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    at = struct.unpack_from(order + first, data, 8 if is_big else 4)[0]
    (tags,) = struct.unpack_from(order + number, data, at)
    at, entry_bytes = at + struct.calcsize(order + number), struct.calcsize(order + entry)
    here = max(0, min(tags, (len(data) - at) // entry_bytes))
    check_parts(here, "tags", _MOST_TAGS)
    for place in range(here):
        tag, _, count, _ = struct.unpack_from(order + entry, data, at + place * entry_bytes)
        yield tag, count
