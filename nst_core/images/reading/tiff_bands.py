"""Splitting a large TIFF into small ones, each with some of its strips or a row of its tiles, to limit the memory.

The content of a strip or tile is left to Pillow to decode, with the tags of the large file. A strip that is too large
is first cut into rows if it is uncompressed or deflated.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from PIL import TiffImagePlugin, TiffTags

from nst_core.images.reading.unpacking import unpacked

# TIFF tags.
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES, _PLANAR = 256, 257, 258, 259, 277, 284
_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_KEPT: Final = (256, 258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 322, 323, 332, 338, 339, 347, 529, 530, 531, 532)
"""Tags that define how pixels are stored and interpreted, copied to every small file."""
_NONE, _DEFLATE = 1, (8, 32946)  # values of the tag _COMPRESSION
_BAND_PIXELS: Final = 8_000_000
"""Pixels per band."""
_MOST_PIXELS: Final = 40_000_000
"""The most pixels of a strip or of a row of tiles; a larger tile cannot be cut."""

Tags = Any
"""Pillow's directory of an image: tag number -> value."""


@dataclass(frozen=True)
class _Layout:
    """How an image is divided into segments, which are strips or tiles.

    Attributes:
        offsets: the offset of each segment.
        counts: the bytes of each segment.
        rows: pixel rows per segment.
        across: segments side by side.
        planes: planes of one colour each, stored one after the other; 1 if colours are interleaved.
        is_tiled: whether segments are tiles.
    """

    offsets: Sequence[int]
    counts: Sequence[int]
    rows: int
    across: int
    planes: int
    is_tiled: bool

    @property
    def down(self) -> int:
        """The number of rows of segments."""
        return len(self.offsets) // (self.across * self.planes)


def can_be_cut(tags: Tags) -> bool:
    """Return whether every segment is small enough to be decoded at once, or can be cut further."""
    try:
        layout = _layout(tags)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return False
    if not layout.down:
        return False
    is_small = tags[_WIDTH] * layout.rows <= _MOST_PIXELS
    return is_small or (not layout.is_tiled and layout.planes == 1 and tags[_COMPRESSION] in (_NONE, *_DEFLATE))


def bands(tags: Tags, data: bytes) -> Iterator[bytes]:
    """Yield TIFFs of the same kind and width that make up the image from top to bottom.

    Raises:
        OSError: if the file is damaged.
    """
    layout, left = _layout(tags), tags[_LENGTH]
    if tags[_WIDTH] * layout.rows > _MOST_PIXELS:
        yield from _rows_of_strips(tags, layout, data)
        return
    rows_of_segments = max(1, _BAND_PIXELS // (tags[_WIDTH] * layout.rows))
    for first in range(0, layout.down, rows_of_segments):
        number = min(rows_of_segments, layout.down - first)
        rows = min(number * layout.rows, left)
        left -= rows
        if rows <= 0:
            return
        indices = [
            plane * layout.down * layout.across + first * layout.across + index
            for plane in range(layout.planes)
            for index in range(number * layout.across)
        ]
        segments = [data[layout.offsets[index] : layout.offsets[index] + layout.counts[index]] for index in indices]
        yield _tiff(tags, rows, min(layout.rows, rows) if not layout.is_tiled else layout.rows, segments)


def _layout(tags: Tags) -> _Layout:
    """Return the layout that the tags describe."""
    is_tiled = _TILE_OFFSETS in tags
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == 2 else 1
    if is_tiled:
        across = -(-tags[_WIDTH] // tags[_TILE_WIDTH])
        return _Layout(tags[_TILE_OFFSETS], tags[_TILE_COUNTS], tags[_TILE_LENGTH], across, planes, is_tiled)
    rows = min(tags.get(_STRIP_ROWS, tags[_LENGTH]), tags[_LENGTH])
    return _Layout(tags[_STRIP_OFFSETS], tags[_STRIP_COUNTS], rows, 1, planes, is_tiled)


def _rows_of_strips(tags: Tags, layout: _Layout, data: bytes) -> Iterator[bytes]:
    """Yield the bands of strips that are too large to be decoded at once."""
    row_bytes = (tags[_WIDTH] * sum(tags[_BITS]) + 7) // 8
    rows = max(1, _BAND_PIXELS // tags[_WIDTH])
    is_packed = tags[_COMPRESSION] in _DEFLATE
    left = tags[_LENGTH]
    for offset, count in zip(layout.offsets, layout.counts, strict=True):
        content = memoryview(data)[offset : offset + count]
        height = min(layout.rows, left)
        left -= height
        for raw in _pieces(content, rows * row_bytes, height * row_bytes, is_packed=is_packed):
            number = len(raw) // row_bytes
            yield _tiff(tags, number, number, [zlib.compress(raw, 0) if is_packed else raw])


def _pieces(content: memoryview, piece: int, whole: int, *, is_packed: bool) -> Iterator[bytes]:
    """Yield the content of a strip, `piece` bytes at a time."""
    if is_packed:
        yield from unpacked([content], piece, whole)
        return
    if len(content) < whole:
        raise OSError("image file is truncated")
    for start in range(0, whole, piece):
        yield bytes(content[start : min(start + piece, whole)])


def _tiff(tags: Tags, rows: int, segment_rows: int, segments: list[bytes]) -> bytes:
    """Return a TIFF with these segments."""
    is_tiled = _TILE_OFFSETS in tags
    offsets_tag, counts_tag = (_TILE_OFFSETS, _TILE_COUNTS) if is_tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    counts = [len(segment) for segment in segments]
    head = b"II*\0\x08\0\0\0" if tags.prefix == b"II" else b"MM\0*\0\0\0\x08"
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    for tag in _KEPT:
        if tag in tags:
            directory.tagtype[tag] = tags.tagtype[tag]
            directory[tag] = tags[tag]
    directory[_LENGTH] = rows
    if not is_tiled:
        directory[_STRIP_ROWS] = segment_rows
    for tag in (offsets_tag, counts_tag):
        directory.tagtype[tag] = TiffTags.LONG
        directory[tag] = tuple(counts)
    # The directory's length does not depend on the offsets; Pillow itself adds it to the offsets of strips.
    start = 8 + len(directory.tobytes(8)) if is_tiled else 0
    directory[offsets_tag] = tuple(accumulate(counts[:-1], initial=start))
    return b"".join([head, directory.tobytes(8), *segments])
