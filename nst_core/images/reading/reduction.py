"""How far a large picture is reduced while it is read, and whether reading it fits the memory: arithmetic alone."""

from collections.abc import Sequence
from typing import Final

from nst_core.images.refusals import SHRINK, refused

WHOLE_PIXELS: Final = 50_000_000
"""Up to so many a picture comes out at its own size."""
MOST_HELD_PIXELS: Final = 100_000_000
"""Of a picture that came out reduced, where that many are needed."""
MEMORY_BYTES: Final = 1_500_000_000
"""That reading one picture may take, its file included."""

WHOLE_FACTORS: Final = tuple(range(1, 65))
"""By which rows can be reduced."""
HALVINGS: Final = (1, 2, 4, 8)
"""By which a JPEG can be decoded."""

_HELD_BYTES: Final = 8
"""For each pixel that comes out: the picture, of four bytes, and a copy that is upright or of another size."""
_FIXED_BYTES: Final = 100_000_000
"""For pieces of it that are converted, and for a colour profile."""


def factor_of(size: tuple[int, int], needed_px: int | None, factors: Sequence[int]) -> int:
    """By how much the sides of a picture are divided while it is read.

    The least that brings it to `WHOLE_PIXELS`; less where its long edge would not keep twice what is needed, so that
    what is made of it is what would be made of the whole; and never so much that it is shorter than needed.

    Args:
        size: width and height.
        needed_px: of the long edge; None, if any size will do.
        factors: that can be had, rising from 1.

    >>> factor_of((20000, 15000), 512, WHOLE_FACTORS)
    3
    >>> factor_of((20000, 15000), 4000, HALVINGS)
    2
    """
    pixels, longest = size[0] * size[1], max(size)
    whole_enough = (place for place, factor in enumerate(factors) if pixels <= WHOLE_PIXELS * factor**2)
    place = next(whole_enough, len(factors) - 1)
    if needed_px is None:
        return factors[place]
    while place and longest < 2 * needed_px * factors[place] and pixels <= MOST_HELD_PIXELS * factors[place - 1] ** 2:
        place -= 1
    while place and longest < needed_px * factors[place]:
        place -= 1
    return factors[place]


def check_memory(
    name: str, size: tuple[int, int], factor: int, decoder_bytes: float, file_bytes: int, needed_px: int | None = None
) -> None:
    """Refuse a picture that would take more memory than there is for one, before it takes any.

    Args:
        name: of the picture.
        size: its own.
        factor: by which it is reduced.
        decoder_bytes: that its decoder takes for each of its own pixels, at one time.
        file_bytes: of the file, and copies of it.
        needed_px: the size that was asked for.

    Raises:
        BadImage: with the arithmetic.
    """
    pixels = size[0] * size[1]
    held = pixels / factor**2
    takes = pixels * decoder_bytes + held * _HELD_BYTES + file_bytes + _FIXED_BYTES
    if takes <= MEMORY_BYTES:
        return
    decoding = f"{pixels / 1e6:.0f} megapixels of {decoder_bytes:.3g} bytes while decoding, " if decoder_bytes else ""
    at = f" at the size that {needed_px} px need" if needed_px and factor == 1 and pixels > WHOLE_PIXELS else ""
    raise refused(
        name,
        "too_costly",
        f"a picture that is decoded in {MEMORY_BYTES / 1e9:g} GB of memory",
        f"one that takes {takes / 1e9:.3g} GB: {decoding}{held / 1e6:.0f} megapixels of {_HELD_BYTES} bytes{at}, "
        f"{file_bytes / 1e6:.0f} MB of its file and {_FIXED_BYTES / 1e6:.0f} MB beside",
        SHRINK,
    )
