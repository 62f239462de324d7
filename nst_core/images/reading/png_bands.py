"""Splitting a large PNG into small ones, each with some of its rows, so that only these are decompressed at a time.

The rows of a PNG are stored as differences from the row above. So the rows of a band are decoded by Pillow, as a PNG of
plain bytes, together with the last row of the band before; the result is encoded again as a PNG of the original's kind.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Final

from PIL import Image

from nst_core.images.files.png import SIGNATURE, chunks_of, framed
from nst_core.images.reading.unpacking import unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAND_BYTES: Final = 24_000_000
"""Bytes of decompressed rows per band."""
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type of a PNG -> number of channels."""
_TYPE_OF_BYTES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""Bytes per pixel -> the colour type with as many channels of 8 bits."""
_KEPT: Final = (b"PLTE", b"tRNS")
"""Chunks that are copied to every band."""


def can_be_cut(data: bytes) -> bool:
    """Return whether the rows are stored from top to bottom, not interlaced."""
    return data[28] == 0


def bands(data: bytes) -> Iterator[bytes]:
    """Yield PNGs of the same kind, width and palette that make up the image from top to bottom.

    Raises:
        OSError: if the file is damaged.
    """
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    bits = depth * _CHANNELS[colour_type]
    row_bytes, step = (width * bits + 7) // 8, max(1, bits // 8)
    rows = max(1, _BAND_BYTES // row_bytes)
    kept = b"".join(framed(kind, bytes(content)) for kind, content in chunks_of(data) if kind in _KEPT)
    above, left = bytes(row_bytes), height
    pixels = (content for kind, content in chunks_of(data) if kind == b"IDAT")
    for packed in unpacked(pixels, rows * (row_bytes + 1), height * (row_bytes + 1)):
        number = min(rows, left)
        raw = _without_filters(packed, above, number, row_bytes, step)
        above, left = raw[-1].tobytes(), left - number
        header = struct.pack(">IIBBBBB", width, number, depth, colour_type, 0, 0, 0)
        yield _png(header, kept, _filtered_by_none(raw))


def _without_filters(packed: bytes, above: bytes, rows: int, row_bytes: int, step: int) -> "NDArray":  # type: ignore[type-arg]
    """Return the rows with their filters undone, shape (rows, row_bytes)."""
    import numpy as np

    table = np.frombuffer(packed, np.uint8, rows * (row_bytes + 1)).reshape(rows, row_bytes + 1)
    raw = np.empty((rows, row_bytes), np.uint8)
    # Each byte of a pixel is filtered separately: if there are six or eight, every second one is decoded at a time.
    lanes = 1 if step <= 4 else 2
    width = row_bytes // step
    for lane in range(lanes):
        filtered = np.empty((rows + 1, row_bytes // lanes + 1), np.uint8)
        filtered[0, 0], filtered[0, 1:] = 0, np.frombuffer(above, np.uint8)[lane::lanes]
        filtered[1:, 0], filtered[1:, 1:] = table[:, 0], table[:, 1 + lane :: lanes]
        header = struct.pack(">IIBBBBB", width, rows + 1, 8, _TYPE_OF_BYTES[step // lanes], 0, 0, 0)
        with Image.open(BytesIO(_png(header, b"", filtered.tobytes())), formats=("PNG",)) as image:
            raw[:, lane::lanes] = np.asarray(image).reshape(rows + 1, -1)[1:]
    return raw


def _filtered_by_none(raw: "NDArray") -> bytes:  # type: ignore[type-arg]
    """Return rows in a PNG's format, with the filter "none"."""
    import numpy as np

    return np.insert(raw, 0, 0, axis=1).tobytes()


def _png(header: bytes, kept: bytes, rows: bytes) -> bytes:
    """Return the bytes of a PNG."""
    packed = zlib.compress(rows, level=0)
    return SIGNATURE + framed(b"IHDR", header) + kept + framed(b"IDAT", packed) + framed(b"IEND", b"")
