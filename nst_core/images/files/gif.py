"""Removing from a GIF all blocks except those of its first image and those that show whether there is a second."""

import re
from typing import Final

from nst_core.images.files.parts import Part, check_parts

_HEADER_BYTES, _IMAGE_BYTES = 13, 10  # of a file, and of an image block
_MOST_PIECES: Final = 1_000_000
"""The most blocks and sub-blocks; a sub-block has at most 255 bytes."""
_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = b"!", b",", 0xF9  # types of blocks, and the label of an extension
_BLOCK = re.compile(rb"[!,;]")
"""The first byte of a block; bytes between two blocks are padding."""


def parts(data: bytes) -> list[Part]:
    """Return the file in parts, without unnecessary blocks; from the second image on, everything is kept.

    Raises:
        TooManyParts: if it has too many blocks.
    """
    view = memoryview(data)
    offset, pieces, pictures = _HEADER_BYTES + _table_bytes(data, 10), 0, 0
    kept: list[Part] = [view[:offset]]
    while found := _BLOCK.search(data, offset):
        start, kind = found.start(), found[0]
        pictures += kind == _IMAGE
        if kind == b";" or pictures == 2:
            return [*kept, view[start:]]
        label = data[start + 1 : start + 2]
        content = start + 2 if kind == _EXTENSION else start + _IMAGE_BYTES + _table_bytes(data, start + 9) + 1
        offset, pieces = _after_pieces(data, content, pieces + 1)
        if kind == _IMAGE or label == bytes((_GRAPHIC_CONTROL,)):
            kept.append(view[start:offset])
    return kept


def _table_bytes(data: bytes, flags_at: int) -> int:
    """Return the length of the colour table that the flags at an offset announce."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_pieces(data: bytes, offset: int, pieces: int) -> tuple[int, int]:
    """Return where a chain of sub-blocks ends, and the number of blocks and sub-blocks so far."""
    while offset < len(data) and data[offset]:
        pieces += 1
        offset += data[offset] + 1
    check_parts(pieces, "pieces", _MOST_PIECES)
    return offset + 1, pieces
