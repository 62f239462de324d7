"""The boxes that HEIC, AVIF and JPEG 2000 files are made of: what a file says it is, and how its colours are meant.

Pillow reads the pixels, and of AVIF the profile; what else is said of the colours is found here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int]
"""Where the content of a box begins and ends in its file."""

_MOST_BOXES: Final = 1000
"""Looked at within one box; programs write a dozen."""
_HEADER_BYTES: Final = 8


@dataclass(frozen=True)
class ColourBox:
    """How a file means its colours: by a profile, or by the numbers of ITU-T H.273.

    Attributes:
        profile: ICC; empty where there is none.
        primaries, transfer: None where they are not told.
    """

    profile: bytes = b""
    primaries: int | None = None
    transfer: int | None = None


def brands(data: bytes) -> frozenset[bytes]:
    """The formats that a file which begins with a list of them says it is of; nothing of any other file."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4]), 8 + 4 * 100)
    listed = {data[at : at + 4] for at in range(16, end, 4)}
    return frozenset(listed | {data[8:12]})


def heif_colour(data: bytes) -> ColourBox:
    """How the primary picture of a HEIC or AVIF file means its colours; a profile goes before numbers."""
    try:
        meta = _inner(data, (0, len(data)), b"meta", skip=4)
        properties = _inner(data, meta, b"iprp")
        containers = list(_boxes(data, _inner(data, properties, b"ipco")))
        of_primary = _properties_of(data, _inner(data, properties, b"ipma", skip=0), _primary(data, meta))
        colours = [_colour(data, containers[place - 1][1]) for place in of_primary if _is_colour(containers, place)]
    except (struct.error, IndexError, KeyError):
        return ColourBox()
    with_profile = [colour for colour in colours if colour.profile]
    return (with_profile or colours or [ColourBox()])[0]


def jp2_colour(data: bytes) -> ColourBox:
    """The profile of a JPEG 2000 file, where it has one."""
    try:
        header = _inner(data, (0, len(data)), b"jp2h")
        start, end = _inner(data, header, b"colr")
    except (struct.error, KeyError):
        return ColourBox()
    return ColourBox(profile=data[start + 3 : end]) if data[start : start + 1] in (b"\2", b"\3") else ColourBox()


def _boxes(data: bytes, span: Span) -> Iterator[tuple[bytes, Span]]:
    at, end = span
    for _ in range(_MOST_BOXES):
        if at + _HEADER_BYTES > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + _HEADER_BYTES
        if length == 1:
            length = struct.unpack_from(">Q", data, start)[0]
            start += 8
        after = end if length == 0 else at + length
        if not start <= after <= end:
            return
        yield kind, (start, after)
        at = after


def _inner(data: bytes, span: Span, kind: bytes, skip: int = 0) -> Span:
    """The first box of a kind, without the bytes of version and flags that some begin with."""
    start, end = next((inner for found, inner in _boxes(data, span) if found == kind), (0, 0))
    if not end:
        raise KeyError(kind)
    return start + skip, end


def _primary(data: bytes, meta: Span) -> int:
    start, _ = _inner(data, meta, b"pitm")
    return int(struct.unpack_from(">H" if data[start] == 0 else ">I", data, start + 4)[0])


def _properties_of(data: bytes, association: Span, item: int) -> list[int]:
    """The numbers of an item's properties, from 1 on, as the box `ipma` has them."""
    start, end = association
    version, is_wide = data[start], data[start + 3] & 1
    (entries,) = struct.unpack_from(">I", data, start + 4)
    at = start + 8
    for _ in range(min(entries, (end - at) // 3)):
        found = struct.unpack_from(">I" if version else ">H", data, at)[0]
        at += 4 if version else 2
        count, at = data[at], at + 1
        places = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", data, at)
        at += count * (2 if is_wide else 1)
        if found == item:
            return [place & (0x7FFF if is_wide else 0x7F) for place in places]
    return []


def _is_colour(containers: list[tuple[bytes, Span]], place: int) -> bool:
    return 0 < place <= len(containers) and containers[place - 1][0] == b"colr"


def _colour(data: bytes, span: Span) -> ColourBox:
    start, end = span
    kind = data[start : start + 4]
    if kind == b"nclx":
        primaries, transfer = struct.unpack_from(">HH", data, start + 4)
        return ColourBox(primaries=primaries, transfer=transfer)
    return ColourBox(profile=data[start + 4 : end]) if kind in (b"prof", b"rICC") else ColourBox()
