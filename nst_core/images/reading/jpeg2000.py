"""JPEG 2000 at a half, a quarter, ... of its size: the wavelets of the finer levels are left undone."""

import struct
from typing import Any, Final, cast

from PIL import Image, ImageFile

_COD: Final = b"\xff\x52"
_SEARCHED_BYTES: Final = 100_000
_MOST_LEVELS: Final = 6


def factors(data: bytes) -> tuple[int, ...]:
    """By which its sides can be divided: powers of two, as many as it has levels."""
    start = data.find(b"\xff\x4f\xff\x51")
    at = data.find(_COD, start, start + _SEARCHED_BYTES) if start >= 0 else -1
    levels = data[at + 9] if 0 <= at < len(data) - 9 else 0
    return tuple(1 << level for level in range(min(levels, _MOST_LEVELS) + 1))


def reduce_to(image: ImageFile.ImageFile, factor: int) -> None:
    """Have a picture, not yet loaded, come out with its sides divided, rounded up as the decoder does."""
    width, height = (-(-side // factor) for side in image.size)
    tile = image.tile[0]
    codec, _, *rest = cast(tuple[Any, ...], tile.args)
    image._size = (width, height)  # Pillow's own `reduce` rounds otherwise, and then fails
    image.tile = [tile._replace(extents=(0, 0, width, height), args=(codec, factor.bit_length() - 1, *rest))]


def shift_of(factor: int) -> float:
    """How far the pixels of the reduced picture lie off the middle of the squares that they stand for.

    A wavelet's coarse values stand where the first of its fine ones did.
    """
    return 0.5 - 0.5 / factor


def bytes_a_pixel(data: bytes, image: Image.Image, factor: int) -> float:
    """That decoding takes for each pixel of the whole: of a tile, four for every channel, and what comes of them."""
    start = data.find(b"\xff\x4f\xff\x51")
    width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    pixels = max(1, (width - left) * (height - top))
    share: float = min(1.0, tile_width * tile_height / pixels)
    channels = len(image.getbands())
    return (8.0 * channels * share + 4.0) / (factor * factor)
