"""PNGs of 16 bits per channel, which Pillow does not write: its file of one pixel, with other pixels put into it."""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from nst_core.images.files.png import SIGNATURE, chunks_of, framed
from nst_core.images.writing.picture_file import Levels

_COLOUR_TYPE: Final = {3: 2, 4: 6}
"""Of a PNG, by number of channels."""
_UP: Final = 2
"""The filter of every row: its difference from the row above, which packs nearly as well as the best."""


def with_pixels(frame: bytes, levels: Levels) -> bytes:
    """A PNG of these pixels, shape (height, width, 3 or 4), with all that `frame`, a PNG, says beside its own."""
    height, width, channels = levels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)
    return _replaced(frame, {b"IHDR": header, b"IDAT": zlib.compress(_filtered(levels))})


def _filtered(levels: Levels) -> bytes:
    rows = levels.astype(">u2").view(np.uint8).reshape(len(levels), -1)
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    return np.insert(rows - above, 0, _UP, axis=1).tobytes()  # modulo 256, as a PNG wants it


def _replaced(frame: bytes, contents: Mapping[bytes, bytes]) -> bytes:
    """A PNG with other contents for some kinds of chunks."""
    return SIGNATURE + b"".join(framed(kind, contents.get(kind, bytes(old))) for kind, old in chunks_of(frame))
