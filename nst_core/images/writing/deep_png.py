"""PNGs of 16 bits per channel, which Pillow cannot write: made by replacing the pixel of its one-pixel PNG."""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from nst_core.images.files.png import SIGNATURE, chunks_of, framed
from nst_core.images.writing.picture_file import Levels

_COLOUR_TYPE: Final = {3: 2, 4: 6}
"""Number of channels -> colour type of a PNG."""
_UP: Final = 2
"""The filter of every row: the difference from the row above, which compresses nearly as well as the best choice."""


def with_pixels(frame: bytes, levels: Levels) -> bytes:
    """Return a PNG with these pixels, shape (height, width, 3 or 4), and all other chunks of the PNG `frame`."""
    height, width, channels = levels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)
    return _replaced(frame, {b"IHDR": header, b"IDAT": zlib.compress(_filtered(levels))})


def _filtered(levels: Levels) -> bytes:
    """Return the filtered rows."""
    rows = levels.astype(">u2").view(np.uint8).reshape(len(levels), -1)
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    return np.insert(rows - above, 0, _UP, axis=1).tobytes()  # modulo 256, as a PNG requires


def _replaced(frame: bytes, contents: Mapping[bytes, bytes]) -> bytes:
    """Return a PNG with the contents of some types of chunks replaced."""
    return SIGNATURE + b"".join(framed(kind, contents.get(kind, bytes(old))) for kind, old in chunks_of(frame))
