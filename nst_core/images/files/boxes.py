"""The boxes that HEIC, AVIF and JPEG 2000 files consist of: the declared format and colour space of a file.

Pillow decodes the pixels, and reads the profile of an AVIF; all other colour information is read here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int]
"""Start and end of a box's content in its file."""

_MOST_BOXES: Final = 1000
"""The most boxes that are examined within one box; programs write a dozen."""
_HEADER_BYTES: Final = 8


@dataclass(frozen=True)
class ColourBox:
    """The declared colours of a file: a profile, or code points of ITU-T H.273.

    Attributes:
        profile: an ICC profile; empty if there is none.
        primaries: the code point of the primaries, or None.
        transfer: the code point of the curve, or None.
    """

    profile: bytes = b""
    primaries: int | None = None
    transfer: int | None = None


def brands(data: bytes) -> frozenset[bytes]:
    """Return the formats that a file declares in its first box, or an empty set if it does not begin with that box."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4]), 8 + 4 * 100)
    listed = {data[offset : offset + 4] for offset in range(16, end, 4)}
    return frozenset(listed | {data[8:12]})


def heif_colour(data: bytes) -> ColourBox:
    """Return the declared colours of a HEIC or AVIF file's primary image, preferring a profile to code points."""
    try:
        meta = _inner(data, (0, len(data)), b"meta", skip=4)
        properties = _inner(data, meta, b"iprp")
        containers = list(_boxes(data, _inner(data, properties, b"ipco")))
        property_indices = _properties_of(data, _inner(data, properties, b"ipma", skip=0), _primary(data, meta))
        colours = [
            _colour(data, containers[index - 1][1]) for index in property_indices if _is_colour(containers, index)
        ]
    except (struct.error, IndexError, KeyError):
        return ColourBox()
    with_profile = [colour for colour in colours if colour.profile]
    return (with_profile or colours or [ColourBox()])[0]


def jp2_colour(data: bytes) -> ColourBox:
    """Return the profile of a JPEG 2000 file, if it has one."""
    try:
        header = _inner(data, (0, len(data)), b"jp2h")
        start, end = _inner(data, header, b"colr")
    except (struct.error, KeyError):
        return ColourBox()
    return ColourBox(profile=data[start + 3 : end]) if data[start : start + 1] in (b"\2", b"\3") else ColourBox()


def _boxes(data: bytes, span: Span) -> Iterator[tuple[bytes, Span]]:
    """Yield the type and content of each box in a part of the file."""
    offset, end = span
    for _ in range(_MOST_BOXES):
        if offset + _HEADER_BYTES > end:
            return
        length, kind = struct.unpack_from(">I4s", data, offset)
        start = offset + _HEADER_BYTES
        if length == 1:
            length = struct.unpack_from(">Q", data, start)[0]
            start += 8
        after = end if length == 0 else offset + length
        if not start <= after <= end:
            return
        yield kind, (start, after)
        offset = after


def _inner(data: bytes, span: Span, kind: bytes, skip: int = 0) -> Span:
    """Return the content of the first box of a type, without the version and flags that some types begin with."""
    start, end = next((inner for found, inner in _boxes(data, span) if found == kind), (0, 0))
    if not end:
        raise KeyError(kind)
    return start + skip, end


def _primary(data: bytes, meta: Span) -> int:
    """Return the item number of the primary image."""
    start, _ = _inner(data, meta, b"pitm")
    return int(struct.unpack_from(">H" if data[start] == 0 else ">I", data, start + 4)[0])


def _properties_of(data: bytes, association: Span, item: int) -> list[int]:
    """Return the 1-based indices of an item's properties, from the content of the box `ipma`."""
    start, end = association
    version, is_wide = data[start], data[start + 3] & 1
    (entries,) = struct.unpack_from(">I", data, start + 4)
    offset = start + 8
    for _ in range(min(entries, (end - offset) // 3)):
        found = struct.unpack_from(">I" if version else ">H", data, offset)[0]
        offset += 4 if version else 2
        count, offset = data[offset], offset + 1
        indices = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", data, offset)
        offset += count * (2 if is_wide else 1)
        if found == item:
            return [index & (0x7FFF if is_wide else 0x7F) for index in indices]
    return []


def _is_colour(containers: list[tuple[bytes, Span]], index: int) -> bool:
    """Return whether a property, given by its 1-based index, describes colours."""
    return 0 < index <= len(containers) and containers[index - 1][0] == b"colr"


def _colour(data: bytes, span: Span) -> ColourBox:
    """Parse a box that describes colours."""
    start, end = span
    kind = data[start : start + 4]
    if kind == b"nclx":
        primaries, transfer = struct.unpack_from(">HH", data, start + 4)
        return ColourBox(primaries=primaries, transfer=transfer)
    return ColourBox(profile=data[start + 4 : end]) if kind in (b"prof", b"rICC") else ColourBox()
