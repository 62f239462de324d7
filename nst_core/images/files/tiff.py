"""The number of strips or tiles of a TIFF, checked before Pillow reads their list, which takes it 250 bytes each."""

import struct
from collections.abc import Iterator
from typing import Final

from nst_core.images.files.parts import MAX_PARTS, Part, check_parts

_MOST_TAGS: Final = 4096
"""The most tags of an image."""
_SEGMENT_TAGS: Final = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}
"""Tags with one value per strip or tile: its offset, or its length."""
_SAMPLE_FORMAT, _FLOAT = 339, 3


def parts(data: bytes) -> list[Part]:
    """Return the file unchanged, as one part.

    Raises:
        TooManyParts: if it has too many strips, tiles or tags.
    """
    try:
        for tag, count, _ in _tags(data):
            if tag in _SEGMENT_TAGS and 2 * count <= len(data):  # a higher count cannot be true
                check_parts(count, _SEGMENT_TAGS[tag], MAX_PARTS)
    except (struct.error, OverflowError):  # truncated, or an offset beyond any file
        pass
    return [data]


def is_float(data: bytes) -> bool:
    """Return whether the first image consists of floating point numbers."""
    order, is_big = _kind(data)
    try:
        for tag, count, field in _tags(data):
            if tag == _SAMPLE_FORMAT:
                is_inline = 2 * count <= (8 if is_big else 4)
                offset = field if is_inline else struct.unpack_from(order + ("Q" if is_big else "I"), data, field)[0]
                return bool(struct.unpack_from(order + "H", data, offset)[0] == _FLOAT)
    except (struct.error, OverflowError):
        pass
    return False


def _kind(data: bytes) -> tuple[str, bool]:
    """Return the byte order, as `struct` writes it, and whether the file is a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", 43 in data[2:4]


def _tags(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, value count and the offset of the value field of each tag of the first image.

    The field holds the value, or its offset.
    """
    order, is_big = _kind(data)
    first, number, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    offset = struct.unpack_from(order + first, data, 8 if is_big else 4)[0]
    (tags,) = struct.unpack_from(order + number, data, offset)
    offset, entry_bytes = offset + struct.calcsize(order + number), struct.calcsize(order + entry)
    tag_count = max(0, min(tags, (len(data) - offset) // entry_bytes))
    check_parts(tag_count, "tags", _MOST_TAGS)
    for index in range(tag_count):
        start = offset + index * entry_bytes
        tag, _, count, _ = struct.unpack_from(order + entry, data, start)
        yield tag, count, start + (12 if is_big else 8)
