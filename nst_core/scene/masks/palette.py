"""Which colours of a mask are regions.

A colour between two others, as along a soft edge, is not a region but belongs partly to both: a black and white mask
with grey edges has two regions, and so does one saved as a JPEG. An area that is filled with such a colour is a region.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from nst_core.errors import OptionsError
from nst_core.scene.masks.colours import ALIKE, Colour, as_colour, distance, is_mixture, name_of
from nst_core.scene.masks.counting import FLAT, fills, groups, is_filled, reduced
from nst_core.scene.masks.levels import SMALLEST_SHARE

MOST_REGIONS = 8

JITTER = 8.0
"""Distance up to which lossy compression splits one colour into several that fill areas; measured: JPEG 4, WebP 6."""

LARGE_SHARE = 0.05
"""Share of a label map's area from which on a colour within `JITTER` of another is a region of its own."""

LOSSLESS = 0.999
"""Share of pixels with a colour that fills an area, from which on a mask is a label map: it has no edges or noise."""

VALLEY = 0.25
"""Pixels between two colours, relative to those of the rarer one, below which both are colours of their own: along a
soft edge, or in a compressed area, the number of pixels falls steadily with the distance from the main colour."""


def palette(mask: Image.Image, what: str) -> list[Colour]:
    """Return the colours of a mask's regions, the largest region first.

    Raises:
        OptionsError: if there are more than `MOST_REGIONS`, or two filled areas have colours that are too near.
    """
    pixels = reduced(mask)
    found = groups(pixels.reshape(-1, 3))
    if merged := _merged_fills(pixels, found):
        pairs = [f"{name_of(one)} and {name_of(other)}" for one, other in merged[:3]]
        more = f", {len(merged) - 3} more" if len(merged) > 3 else ""
        raise OptionsError(
            f"{what}: {', '.join(pairs)}{more}: each fills an area of its own, but they are too near to be told apart; "
            f"give regions colours that are more than {ALIKE:g} apart, or fill both areas with one"
        )
    outermost = [
        colour
        for colour in found
        if not is_mixture(colour, [one for one in found if one != colour]) or is_filled(colour, pixels)
    ]
    if len(outermost) > MOST_REGIONS:
        raise OptionsError(
            f"{what}: expected {MOST_REGIONS} regions at most, found {len(outermost)} colours: "
            f"{', '.join(map(name_of, outermost[:12]))}; fill each region with one colour"
        )
    return outermost


def _merged_fills(pixels: npt.NDArray[np.int16], found: Sequence[Colour]) -> list[tuple[Colour, Colour]]:
    """Return the colours that fill areas of their own but were merged into one of `found`, together with that one.

    Compression and soft edges make areas of such colours too, but those are within `JITTER` of the other colour, or
    have about as many pixels between the two. Only in a label map, which has no such areas, may regions be nearer.
    """
    colours, counts = fills(pixels)
    flat = pixels.reshape(-1, 3)
    is_label_map = counts.sum() >= LOSSLESS * len(flat)
    merged = []
    for colour, share in zip(map(as_colour, colours), counts / len(flat), strict=True):
        if share < SMALLEST_SHARE:
            break
        owner = next((one for one in found if distance(one, colour) <= ALIKE), None)
        if owner is None or owner == colour:
            continue
        near = distance(owner, colour) < JITTER
        if (is_label_map and share >= LARGE_SHARE) if near else _are_separate(owner, colour, flat):
            merged.append((owner, colour))
    return merged


def _are_separate(one: Colour, other: Colour, pixels: npt.NDArray[np.int16]) -> bool:
    """Return whether two colours are distinct clusters: few pixels lie between them, compared with the second.

    Args:
        one: the first colour.
        other: the second colour.
        pixels: shape (P, 3).
    """
    line = np.subtract(other, one, dtype=np.float32)
    offsets = pixels.astype(np.float32) - np.array(one, dtype=np.float32)
    along = offsets @ line / (line @ line)
    near = np.square(offsets - along[:, None] * line).sum(axis=1) <= FLAT**2
    between = near & (along > 0.25) & (along < 0.75)
    beyond = near & (along >= 0.75) & (along < 1.25)
    return float(between.sum()) < VALLEY * float(beyond.sum())
