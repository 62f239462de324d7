"""The blocks of a GIF that its first picture needs, and those that tell whether there is another: no comments."""

import re
from typing import Final

from nst_core.images.files.parts import Part, check_parts

_HEADER_BYTES, _IMAGE_BYTES = 13, 10
_MOST_PIECES: Final = 1_000_000
"""Blocks, and the pieces of at most 255 bytes that they come in."""
_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = b"!", b",", 0xF9
_BLOCK = re.compile(rb"[!,;]")
"""How one begins; what lies between two is padding."""


def parts(data: bytes) -> list[Part]:
    """The file in parts, without blocks that may be left out; from the second picture on, as it is.

    Raises:
        TooManyParts: of pieces.
    """
    view = memoryview(data)
    at, pieces, pictures = _HEADER_BYTES + _table_bytes(data, 10), 0, 0
    kept: list[Part] = [view[:at]]
    while found := _BLOCK.search(data, at):
        start, kind = found.start(), found[0]
        pictures += kind == _IMAGE
        if kind == b";" or pictures == 2:
            return [*kept, view[start:]]
        label = data[start + 1 : start + 2]
        content = start + 2 if kind == _EXTENSION else start + _IMAGE_BYTES + _table_bytes(data, start + 9) + 1
        at, pieces = _after_pieces(data, content, pieces + 1)
        if kind == _IMAGE or label == bytes((_GRAPHIC_CONTROL,)):
            kept.append(view[start:at])
    return kept


def _table_bytes(data: bytes, flags_at: int) -> int:
    """The length of the colour table that some flags announce."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_pieces(data: bytes, at: int, pieces: int) -> tuple[int, int]:
    """Where a chain of pieces ends, and how many have been gone through by then."""
    while at < len(data) and data[at]:
        pieces += 1
        at += data[at] + 1
    check_parts(pieces, "pieces", _MOST_PIECES)
    return at + 1, pieces
