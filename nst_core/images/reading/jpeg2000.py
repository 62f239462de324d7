"""Decoding JPEG 2000 at a half, a quarter, ... of its size, by not applying the wavelets of the finer levels."""

import struct
from typing import Any, Final, cast

from PIL import Image, ImageFile

_COD: Final = b"\xff\x52"
"""The marker of the segment with the number of wavelet levels."""
_SEARCHED_BYTES: Final = 100_000
"""Bytes of the codestream in which that segment is searched for."""
_MOST_LEVELS: Final = 6
"""The most levels that are left out."""


def factors(data: bytes) -> tuple[int, ...]:
    """Return the possible divisors of the sides: powers of two, up to the number of wavelet levels."""
    start = data.find(b"\xff\x4f\xff\x51")
    offset = data.find(_COD, start, start + _SEARCHED_BYTES) if start >= 0 else -1
    levels = data[offset + 9] if 0 <= offset < len(data) - 9 else 0
    return tuple(1 << level for level in range(min(levels, _MOST_LEVELS) + 1))


def reduce_to(image: ImageFile.ImageFile, factor: int) -> None:
    """Make Pillow decode an image, not yet loaded, with sides divided by `factor`, rounded up as by its decoder."""
    width, height = (-(-side // factor) for side in image.size)
    tile = image.tile[0]
    codec, _, *rest = cast(tuple[Any, ...], tile.args)
    image._size = (width, height)  # Pillow's own `reduce` rounds differently, and then fails
    image.tile = [tile._replace(extents=(0, 0, width, height), args=(codec, factor.bit_length() - 1, *rest))]


def shift_of(factor: int) -> float:
    """Return how far the pixels of the reduced image lie off the centres of the squares that they replace.

    A wavelet's coarse values lie where the first of its fine values did.
    """
    return 0.5 - 0.5 / factor


def bytes_per_pixel(data: bytes, image: Image.Image, factor: int) -> float:
    """Return the decoder's memory per pixel of the file: eight bytes per channel of a tile, and four of the output."""
    start = data.find(b"\xff\x4f\xff\x51")
    width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    pixels = max(1, (width - left) * (height - top))
    share: float = min(1.0, tile_width * tile_height / pixels)
    channels = len(image.getbands())
    return (8.0 * channels * share + 4.0) / (factor * factor)
