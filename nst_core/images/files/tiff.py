"""What has to be known of a TIFF before Pillow opens it: the number of its strips or tiles, and whether it is misread.

Pillow takes 250 bytes to list each strip or tile.
"""

import struct
from collections.abc import Iterator
from typing import Final

from nst_core.images.files.parts import MAX_PARTS, Part, check_parts

_MOST_TAGS: Final = 4096
"""The most tags of an image."""
_SEGMENT_TAGS: Final = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}
"""Tags with one value per strip or tile: its offset, or its length."""
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 338, 339
_SIGNED, _FLOAT = 2, 3  # values of _SAMPLE_FORMAT
_GREY, _RGB, _CMYK, _YCBCR = (0, 1), 2, 5, 6  # values of _PHOTOMETRIC
_UNSPECIFIED, _ALPHA = 0, 2  # values of _EXTRA
_MOST_VALUES: Final = 16
"""The most values of a tag that are read."""


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
    return _values(data).get(_SAMPLE_FORMAT, (0,))[0] == _FLOAT


def is_misread(data: bytes) -> bool:
    """Return whether Pillow decodes the first image to other pixels, or takes it for damaged, though it is neither.

    It does so with most colours in planes, one after the other, except for RGB and CMYK of 8 bits, and if compressed of
    16; and with compressed signed numbers in the big-endian byte order.
    """
    values = _values(data)
    is_packed = values.get(_COMPRESSION, (1,))[0] != 1
    if values.get(_SAMPLE_FORMAT, (0,))[0] == _SIGNED:
        return is_packed and data[:2] == b"MM"
    in_planes = values.get(_PLANAR, (1,))[0] == 2 and values.get(_SAMPLES, (1,))[0] > 1
    bits, photometric, extra = set(values.get(_BITS, (1,))), values.get(_PHOTOMETRIC, (0,))[0], values.get(_EXTRA, ())
    if not in_planes or not bits <= {8, 16}:
        return False
    if is_packed:
        is_grey = photometric in _GREY and extra == (_UNSPECIFIED,)
        return len(extra) > 1 or not (is_grey or photometric in (_RGB, _CMYK, _YCBCR))
    return bits != {8} or photometric not in (_RGB, _CMYK) or extra not in ((), (_ALPHA,))


def _values(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the first values of each tag of 16-bit numbers of the first image, as far as the file is whole."""
    order, is_big = _kind(data)
    found: dict[int, tuple[int, ...]] = {}
    try:
        for tag, count, at in _tags(data):
            if tag not in (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT):
                continue
            is_inline = 2 * count <= (8 if is_big else 4)
            start = at if is_inline else struct.unpack_from(order + ("Q" if is_big else "I"), data, at)[0]
            found[tag] = struct.unpack_from(f"{order}{min(count, _MOST_VALUES)}H", data, start) or (0,)
    except (struct.error, OverflowError):
        pass
    return found


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
