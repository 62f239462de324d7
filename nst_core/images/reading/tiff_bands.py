"""A large TIFF as small ones, each of some of its strips or of a row of its tiles: no more is unpacked at a time.

What a strip or tile holds is left to Pillow, by the very tags of the large file. A single strip is cut into rows first,
where that can be done: it is uncompressed, or deflated.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from PIL import TiffImagePlugin, TiffTags

from nst_core.images.reading.unpacking import unpacked

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES, _PLANAR = 256, 257, 258, 259, 277, 284
_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_KEPT: Final = (256, 258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 322, 323, 332, 338, 339, 347, 529, 530, 531, 532)
"""What says how pixels are packed and meant."""
_NONE, _DEFLATE = 1, (8, 32946)
_BAND_PIXELS: Final = 8_000_000
_MOST_PIXELS: Final = 40_000_000
"""Of a strip, or of a row of tiles; what has more in one cannot be cut."""

Tags = Any
"""Pillow's directory of a picture: number -> value."""


@dataclass(frozen=True)
class _Layout:
    """Segments in rows of so many, each of so many pixel rows; planes of one colour follow each other, if they do."""

    offsets: Sequence[int]
    counts: Sequence[int]
    rows: int
    across: int
    planes: int
    is_tiled: bool

    @property
    def down(self) -> int:
        return len(self.offsets) // (self.across * self.planes)


def can_be_cut(tags: Tags) -> bool:
    """Whether no segment holds more pixels than may be unpacked at a time, or can be cut further."""
    try:
        layout = _layout(tags)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return False
    if not layout.down:
        return False
    is_small = tags[_WIDTH] * layout.rows <= _MOST_PIXELS
    return is_small or (not layout.is_tiled and layout.planes == 1 and tags[_COMPRESSION] in (_NONE, *_DEFLATE))


def bands(tags: Tags, data: bytes) -> Iterator[bytes]:
    """TIFFs of the same kind and width that make up the picture from the top down.

    Raises:
        OSError: the file is damaged.
    """
    layout, left = _layout(tags), tags[_LENGTH]
    if tags[_WIDTH] * layout.rows > _MOST_PIXELS:
        yield from _rows_of_strips(tags, layout, data)
        return
    at_once = max(1, _BAND_PIXELS // (tags[_WIDTH] * layout.rows))
    for first in range(0, layout.down, at_once):
        number = min(at_once, layout.down - first)
        rows = min(number * layout.rows, left)
        left -= rows
        if rows <= 0:
            return
        places = [
            plane * layout.down * layout.across + first * layout.across + place
            for plane in range(layout.planes)
            for place in range(number * layout.across)
        ]
        segments = [data[layout.offsets[place] : layout.offsets[place] + layout.counts[place]] for place in places]
        yield _tiff(tags, rows, min(layout.rows, rows) if not layout.is_tiled else layout.rows, segments)


def _layout(tags: Tags) -> _Layout:
    is_tiled = _TILE_OFFSETS in tags
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == 2 else 1
    if is_tiled:
        across = -(-tags[_WIDTH] // tags[_TILE_WIDTH])
        return _Layout(tags[_TILE_OFFSETS], tags[_TILE_COUNTS], tags[_TILE_LENGTH], across, planes, is_tiled)
    rows = min(tags.get(_STRIP_ROWS, tags[_LENGTH]), tags[_LENGTH])
    return _Layout(tags[_STRIP_OFFSETS], tags[_STRIP_COUNTS], rows, 1, planes, is_tiled)


def _rows_of_strips(tags: Tags, layout: _Layout, data: bytes) -> Iterator[bytes]:
    """Of strips that are too large, band by band."""
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
    """What a strip holds, so many bytes at a time."""
    if is_packed:
        yield from unpacked([content], piece, whole)
        return
    if len(content) < whole:
        raise OSError("image file is truncated")
    for at in range(0, whole, piece):
        yield bytes(content[at : min(at + piece, whole)])


def _tiff(tags: Tags, rows: int, segment_rows: int, segments: list[bytes]) -> bytes:
    is_tiled = _TILE_OFFSETS in tags
    places, lengths = (_TILE_OFFSETS, _TILE_COUNTS) if is_tiled else (_STRIP_OFFSETS, _STRIP_COUNTS)
    counts = [len(segment) for segment in segments]
    head = b"II*\0\x08\0\0\0" if tags.prefix == b"II" else b"MM\0*\0\0\0\x08"
    made = TiffImagePlugin.ImageFileDirectory_v2(head)
    for tag in _KEPT:
        if tag in tags:
            made.tagtype[tag] = tags.tagtype[tag]
            made[tag] = tags[tag]
    made[_LENGTH] = rows
    if not is_tiled:
        made[_STRIP_ROWS] = segment_rows
    for tag in (places, lengths):
        made.tagtype[tag] = TiffTags.LONG
        made[tag] = tuple(counts)
    # As long whatever the offsets are; Pillow itself adds this to those of strips.
    start = 8 + len(made.tobytes(8)) if is_tiled else 0
    made[places] = tuple(accumulate(counts[:-1], initial=start))
    return b"".join([head, made.tobytes(8), *segments])
