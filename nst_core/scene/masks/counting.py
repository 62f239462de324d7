"""The colours of a mask, counted on a small copy of it: how much they cover, and which of them fill areas."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from nst_core.scene.masks.colours import ALIKE, Colour, as_colour, codes_of, colours_of
from nst_core.scene.masks.levels import SMALLEST_SHARE

COUNTED_AT_PX = 512
"""Long edge of the reduced copy on which a mask's colours are counted."""

FLAT = 14.0
"""Distance up to which pixels have a colour itself, as in an area that was filled with it."""

FILLED_PX = 5
"""Side of a square that fits into a filled area, but not into the hard edge between two other areas."""


def reduced(mask: Image.Image) -> npt.NDArray[np.int16]:
    """Return a mask's pixels at the size at which its colours are counted, shape (H, W, 3)."""
    small = mask.copy()
    small.thumbnail((COUNTED_AT_PX, COUNTED_AT_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)


def share_of(colour: Colour, mask: Image.Image) -> float:
    """Return the share of a mask's area, 0 to 1, that has colours like this one."""
    pixels = reduced(mask).reshape(-1, 3)
    return float((np.linalg.norm(pixels - np.array(colour), axis=1) <= ALIKE).mean())


def groups(pixels: npt.NDArray[np.int16]) -> list[Colour]:
    """Cluster the pixels' colours, the most frequent first, each with all colours like it; drop small clusters."""
    codes, counts = np.unique(codes_of(pixels), return_counts=True)
    colours = colours_of(codes)
    found: list[Colour] = []
    left = np.ones(len(colours), dtype=bool)
    while left.any():
        place = int(np.argmax(np.where(left, counts, -1)))
        near = left & (np.linalg.norm(colours - colours[place], axis=1) <= ALIKE)
        if counts[near].sum() < SMALLEST_SHARE * len(pixels):
            if counts[place] * left.sum() < SMALLEST_SHARE * len(pixels):
                break  # none of the remaining colours can be large enough for a region
        else:
            found.append(as_colour(colours[place]))
        left &= ~near
    return found


def fills(pixels: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the colours that fill a square of `FILLED_PX` exactly and their numbers of pixels, the largest first.

    Returns:
        Colours, shape (K, 3), and numbers, shape (K,).
    """
    codes = codes_of(pixels)
    picture = Image.fromarray(codes)
    lowest, highest = (
        np.asarray(picture.filter(rank(FILLED_PX))) for rank in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    values, counts = np.unique(codes, return_counts=True)
    filling = np.isin(values, codes[lowest == highest])
    values, counts = values[filling], counts[filling]
    order = np.argsort(-counts, kind="stable")
    return colours_of(values[order]), counts[order]


def is_filled(colour: Colour, pixels: npt.NDArray[np.int16]) -> bool:
    """Return whether an area is filled with exactly this colour, which along a soft edge is one of many.

    Args:
        colour: the colour to look for.
        pixels: the mask, shape (H, W, 3).
    """
    apart = np.linalg.norm(pixels - np.array(colour), axis=2)
    pure = apart <= FLAT
    if pure.sum() < (apart <= ALIKE).sum() / 2:
        return False
    inside = Image.fromarray(pure).convert("L").filter(ImageFilter.MinFilter(FILLED_PX))
    return inside.getbbox() is not None
