"""The factor by which a large image is reduced while it is decoded, and the check that decoding it fits the memory."""

from collections.abc import Sequence
from typing import Final

from nst_core.images.refusals import SHRINK, refused

WHOLE_PIXELS: Final = 50_000_000
"""The most pixels of an image that is decoded at its own size."""
MOST_HELD_PIXELS: Final = 100_000_000
"""The most pixels of a reduced image, if that many are needed."""
MEMORY_BYTES: Final = 1_500_000_000
"""Memory that decoding one image may take, including its file."""

WHOLE_FACTORS: Final = tuple(range(1, 65))
"""Factors by which rows can be reduced."""
HALVINGS: Final = (1, 2, 4, 8)
"""Factors by which a JPEG can be decoded reduced."""

_OUTPUT_BYTES: Final = 8
"""Bytes per decoded pixel: the image with four bytes, and an upright or resized copy of it."""
_FIXED_BYTES: Final = 100_000_000
"""Memory for pieces that are being converted, and for a colour profile."""


def factor_of(size: tuple[int, int], needed_px: int | None, factors: Sequence[int]) -> int:
    """Return the factor by which the sides of an image are divided while it is decoded.

    It is the smallest that reduces the image to `WHOLE_PIXELS`; less if the long edge would not keep twice the needed
    length, so that the result is the same as from the whole image; and never so large that the edge is shorter than
    needed.

    Args:
        size: width and height.
        needed_px: the needed length of the long edge; None if any will do.
        factors: the possible factors, rising from 1.

    >>> factor_of((20000, 15000), 512, WHOLE_FACTORS)
    3
    >>> factor_of((20000, 15000), 4000, HALVINGS)
    2
    """
    pixels, longest = size[0] * size[1], max(size)
    small_enough = (index for index, factor in enumerate(factors) if pixels <= WHOLE_PIXELS * factor**2)
    index = next(small_enough, len(factors) - 1)
    if needed_px is None:
        return factors[index]
    while index and longest < 2 * needed_px * factors[index] and pixels <= MOST_HELD_PIXELS * factors[index - 1] ** 2:
        index -= 1
    while index and longest < needed_px * factors[index]:
        index -= 1
    return factors[index]


def check_memory(
    name: str, size: tuple[int, int], factor: int, decoder_bytes: float, file_bytes: int, needed_px: int | None = None
) -> None:
    """Refuse an image whose decoding would take more memory than allowed, before any is allocated.

    Args:
        name: the image's name.
        size: its own size.
        factor: the factor by which it is reduced.
        decoder_bytes: the peak memory of its decoder per pixel of its own size.
        file_bytes: the size of the file and of copies of it.
        needed_px: the requested size.

    Raises:
        BadImage: if it would; the message has the arithmetic.
    """
    pixels = size[0] * size[1]
    held = pixels / factor**2
    needed = pixels * decoder_bytes + held * _OUTPUT_BYTES + file_bytes + _FIXED_BYTES
    if needed <= MEMORY_BYTES:
        return
    decoding = f"{pixels / 1e6:.0f} megapixels of {decoder_bytes:.3g} bytes while decoding, " if decoder_bytes else ""
    at = f" at the size that {needed_px} px need" if needed_px and factor == 1 and pixels > WHOLE_PIXELS else ""
    raise refused(
        name,
        "too_costly",
        f"an image that is decoded in {MEMORY_BYTES / 1e9:g} GB of memory",
        f"one that takes {needed / 1e9:.3g} GB: {decoding}{held / 1e6:.0f} megapixels of {_OUTPUT_BYTES} bytes{at}, "
        f"{file_bytes / 1e6:.0f} MB of its file and {_FIXED_BYTES / 1e6:.0f} MB beside",
        SHRINK,
    )
