"""Segment masks, images whose colours mark regions, into a map of each region.

A colour between two others, as along a soft edge, is not a region but belongs partly to both: a black and white mask
with grey edges has two regions, and so does one saved as a JPEG. An area that is filled with such a colour is a region.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

from nst_core.errors import OptionsError

MOST_REGIONS = 8

SMALLEST_SHARE = 0.002
"""Smallest share of a mask's area that makes a region; a colour on less is noise, or an edge."""

ALIKE = 56.0
"""Distance of two 8-bit RGB colours up to which they count as the same: compression shifts colours, and so do edges."""

BETWEEN = 40.0
"""Distance from the line between two colours up to which a third is a mixture of both."""

FLAT = 14.0
"""Distance up to which pixels have a colour itself, as in an area that was filled with it."""

FILLED_PX = 5
"""Side of a square that fits into a filled area, but not into the hard edge between two other areas."""

SURELY_FILLED = 0.02
"""Share of a mask's area; a colour between two others that covers less counts as their edge if the other mask lacks
it."""

COUNTED_AT_PX = 512
"""Long edge of the reduced copy on which a mask's colours are counted."""

PURE = (4, 251)
"""The highest level that counts as black, and the lowest that counts as white: JPEG does not preserve the last few
levels."""

ROUNDING = 16.0
"""A squared distance: if two mixtures come this equally near to a pixel, the one of nearer colours wins."""

Colour = tuple[int, int, int]

NAMES = {
    (0, 0, 0): "black",
    (255, 255, 255): "white",
    (255, 0, 0): "red",
    (0, 255, 0): "green",
    (0, 0, 255): "blue",
    (255, 255, 0): "yellow",
    (0, 255, 255): "cyan",
    (255, 0, 255): "magenta",
    (128, 128, 128): "grey",
}


@dataclass(frozen=True)
class RegionColours:
    """The colours of the same regions, in the same order, in the masks of a content and of a style image."""

    content: tuple[Colour, ...]
    style: tuple[Colour, ...]


def region_colours(content_mask: Image.Image | None, style_mask: Image.Image | None) -> RegionColours | None:
    """Match the regions of two masks of mode RGB by colour; None without masks.

    Raises:
        OptionsError: if only one mask is given, a colour is in only one of them, or there are too many regions.
    """
    if content_mask is None and style_mask is None:
        return None
    if content_mask is None or style_mask is None:
        alone, missing = ("style_mask", "content_mask") if content_mask is None else ("content_mask", "style_mask")
        raise OptionsError(f"{alone} goes with a {missing} of the same colours: give both or none")
    ours, theirs = palette(content_mask, "content_mask"), palette(style_mask, "style_mask")
    partners = _partners(ours, theirs)
    alone_here = [one for one, partner in zip(ours, partners, strict=True) if partner is None]
    alone_there = [one for place, one in enumerate(theirs) if place not in partners]
    refused_here = [one for one in alone_here if not _may_be_edge(one, ours, content_mask)]
    refused_there = [one for one in alone_there if not _may_be_edge(one, theirs, style_mask)]
    problems = [
        *(_alone(one, "content_mask", "style_mask", style_mask) for one in refused_here),
        *(_alone(one, "style_mask", "content_mask", content_mask) for one in refused_there),
    ]
    if problems:
        raise OptionsError(f"{'; '.join(problems)}: give both masks the same colours")
    matched = [(colour, theirs[place]) for colour, place in zip(ours, partners, strict=True) if place is not None]
    return RegionColours(tuple(one for one, _ in matched), tuple(other for _, other in matched))


def _partners(ours: Sequence[Colour], theirs: Sequence[Colour]) -> list[int | None]:
    """Return the index in `theirs` of each colour in `ours` if each is the other's nearest, so that none is shared."""
    nearest = [_nearest(colour, theirs) for colour in ours]
    return [
        place if place is not None and _nearest(theirs[place], ours) == here else None
        for here, place in enumerate(nearest)
    ]


def _may_be_edge(colour: Colour, colours: Sequence[Colour], mask: Image.Image) -> bool:
    """Return whether a colour that the other mask lacks may be an edge: a mixture of two others on a small area."""
    others = [one for one in colours if one != colour]
    return _is_mixture(colour, others) and _share_of(colour, mask) < SURELY_FILLED


def _share_of(colour: Colour, mask: Image.Image) -> float:
    pixels = _reduced(mask).reshape(-1, 3)
    return float((np.linalg.norm(pixels - np.array(colour), axis=1) <= ALIKE).mean())


def _alone(colour: Colour, where: str, where_not: str, mask_without: Image.Image) -> str:
    share = _share_of(colour, mask_without)
    told = f"has it on {share:.2g} of its area alone, which counts from {SMALLEST_SHARE:g} on"
    return f"{where} has the region {name_of(colour)}, {where_not} {told if 0 < share < SMALLEST_SHARE else 'has not'}"


def palette(mask: Image.Image, what: str) -> list[Colour]:
    """Return the colours of a mask's regions, the largest region first.

    Raises:
        OptionsError: if there are more than `MOST_REGIONS`.
    """
    pixels = _reduced(mask)
    found = _groups(pixels.reshape(-1, 3))
    outermost = [
        colour
        for colour in found
        if not _is_mixture(colour, [one for one in found if one != colour]) or _is_filled(colour, pixels)
    ]
    if len(outermost) > MOST_REGIONS:
        raise OptionsError(
            f"{what}: expected {MOST_REGIONS} regions at most, found {len(outermost)} colours: "
            f"{', '.join(map(name_of, outermost[:12]))}; fill each region with one colour"
        )
    return outermost


def maps_of(mask: Image.Image, colours: Sequence[Colour], size: tuple[int, int]) -> torch.Tensor:
    """Return the map of each colour in a mask at a size (width, height), shape (1, R, H, W); the maps add up to 1."""
    width, height = size
    # Pixels are assigned to regions before resizing: interpolated colours could equal those of other regions.
    pixels = np.asarray(_at_most(mask, size), dtype=np.float32)
    shares = _shares(pixels.reshape(-1, 3), np.array(colours, dtype=np.float32))
    maps = torch.from_numpy(shares.T.reshape(1, len(colours), *pixels.shape[:2]).copy())
    if maps.shape[2] >= height and maps.shape[3] >= width:
        return functional.adaptive_avg_pool2d(maps, size[::-1])
    return functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def coverage(mask: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Return how white a mask is at a size (width, height), shape (1, 1, H, W); 1 is white.

    Accepts any Pillow mode; transparent pixels count as black.
    """
    if mask.has_transparency_data:
        mask = Image.alpha_composite(Image.new("RGBA", mask.size, "black"), mask.convert("RGBA"))
    # Lanczos resampling would ring: it leaves grey waves in the white next to an edge.
    light = np.array(mask.convert("L").resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    black, white = PURE
    return torch.from_numpy(np.clip((light - black) / (white - black), 0.0, 1.0))[None, None]


def name_of(colour: Colour) -> str:
    """Return a colour's name, if it has one, and its #rrggbb code."""
    near = min(NAMES, key=lambda known: _distance(known, colour))
    code = "#{:02x}{:02x}{:02x}".format(*colour)
    return f"{NAMES[near]} ({code})" if _distance(near, colour) <= ALIKE else code


def _groups(pixels: npt.NDArray[np.int16]) -> list[Colour]:
    """Cluster the pixels' colours, the most frequent first, each with all colours like it; small clusters are dropped."""
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    found: list[Colour] = []
    left = np.ones(len(colours), dtype=bool)
    while left.any():
        place = int(np.argmax(np.where(left, counts, -1)))
        near = left & (np.linalg.norm(colours - colours[place], axis=1) <= ALIKE)
        if counts[near].sum() < SMALLEST_SHARE * len(pixels):
            if counts[place] * left.sum() < SMALLEST_SHARE * len(pixels):
                break  # none of the remaining colours can be large enough for a region
        else:
            red, green, blue = (int(value) for value in colours[place])
            found.append((red, green, blue))
        left &= ~near
    return found


def _is_mixture(colour: Colour, others: Sequence[Colour]) -> bool:
    """Return whether a colour lies between two others."""
    return any(_distance_from_line(colour, *ends) <= BETWEEN for ends in itertools.combinations(others, 2))


def _is_filled(colour: Colour, pixels: npt.NDArray[np.int16]) -> bool:
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


def _distance_from_line(colour: Colour, start: Colour, end: Colour) -> float:
    """Return the distance to a line segment; infinite beyond its ends, because such a colour is not between them."""
    line = np.subtract(end, start, dtype=np.float64)
    along = float(np.dot(np.subtract(colour, start), line) / np.dot(line, line))
    if not 0.0 < along < 1.0:
        return float("inf")
    return float(np.linalg.norm(np.subtract(colour, start) - along * line))


def _shares(pixels: npt.NDArray[np.float32], colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return each pixel's share of each colour, shape (pixels, R): of the two whose mixture is nearest to it."""
    if len(colours) == 1:
        return np.ones((len(pixels), 1), dtype=np.float32)
    best = np.full(len(pixels), np.inf, dtype=np.float32)
    shares = np.zeros((len(pixels), len(colours)), dtype=np.float32)
    pairs = itertools.combinations(range(len(colours)), 2)
    # Nearest pairs first: a pixel of a colour between two others must not be taken for a mixture of those.
    for one, other in sorted(pairs, key=lambda pair: float(np.linalg.norm(colours[pair[0]] - colours[pair[1]]))):
        line = colours[other] - colours[one]
        along = np.clip((pixels - colours[one]) @ line / (line @ line), 0.0, 1.0)
        apart = np.square(pixels - colours[one] - along[:, None] * line).sum(axis=1)
        better = apart < best - ROUNDING
        best[better] = apart[better]
        shares[better] = 0.0
        shares[better, one], shares[better, other] = 1.0 - along[better], along[better]
    return shares


def _nearest(colour: Colour, others: Sequence[Colour]) -> int | None:
    place = min(range(len(others)), key=lambda other: _distance(colour, others[other]), default=None)
    return place if place is not None and _distance(colour, others[place]) <= 2 * ALIKE else None


def _distance(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one, other)))


def _reduced(mask: Image.Image) -> npt.NDArray[np.int16]:
    """Return a mask's pixels at the size at which its colours are counted, shape (H, W, 3)."""
    small = mask.copy()
    small.thumbnail((COUNTED_AT_PX, COUNTED_AT_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)


def _at_most(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a mask reduced to at most twice the requested size, to save memory."""
    width, height = min(mask.width, 2 * size[0]), min(mask.height, 2 * size[1])
    return mask.resize((width, height), Image.Resampling.BOX) if (width, height) != mask.size else mask
