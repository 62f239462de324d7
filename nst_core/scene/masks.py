"""Segment masks, images whose colours mark regions, into a map of each region.

A colour between two others, as along a soft edge, is not a region but belongs partly to both: a black and white mask
with grey edges has two regions, and so does one saved as a JPEG. An area that is filled with such a colour is a region.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

from nst_core.errors import OptionsError
from nst_core.scene.mask_levels import PURE, SMALLEST_SHARE

MOST_REGIONS = 8

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

JITTER = 8.0
"""Distance up to which lossy compression splits one colour into several that fill areas; measured: JPEG 4, WebP 6."""

LARGE_SHARE = 0.05
"""Share of a label map's area from which on a colour within `JITTER` of another is a region of its own."""

LOSSLESS = 0.999
"""Share of pixels with a colour that fills an area, from which on a mask is a label map: it has no edges or noise."""

VALLEY = 0.25
"""Pixels between two colours, relative to those of the rarer one, below which both are colours of their own: along a
soft edge, or in a compressed area, the number of pixels falls steadily with the distance from the main colour."""

COUNTED_AT_PX = 512
"""Long edge of the reduced copy on which a mask's colours are counted."""

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
    """The colours of the same regions, in the same order, in the masks of a content and of a style image.

    Attributes:
        notes: messages for the user about areas of the masks that do not count as regions.
    """

    content: tuple[Colour, ...]
    style: tuple[Colour, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)


def region_colours(content_mask: Image.Image | None, style_mask: Image.Image | None) -> RegionColours | None:
    """Match the regions of two masks of mode RGB by colour; None without masks.

    Raises:
        OptionsError: if only one mask is given, a colour is in only one of them, there are too many regions, or two
            filled areas have colours that are too near to be told apart.
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
    notes = (
        *(_edge_note(colour, "content_mask", content_mask, "style_mask") for colour in alone_here),
        *(_edge_note(colour, "style_mask", style_mask, "content_mask") for colour in alone_there),
        *_small_area_notes(content_mask, "content_mask"),
        *_small_area_notes(style_mask, "style_mask"),
    )
    return RegionColours(tuple(one for one, _ in matched), tuple(other for _, other in matched), notes)


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


def _edge_note(colour: Colour, where: str, mask: Image.Image, where_not: str) -> str:
    share = _share_of(colour, mask)
    return (
        f"{where}: {name_of(colour)} covers {share:.2g} of its area and is not in {where_not}; it lies between two "
        "other colours and is taken for their edge, not for a region"
    )


def _small_area_notes(mask: Image.Image, where: str) -> list[str]:
    """Describe the filled areas that are too small to be regions."""
    pixels = _reduced(mask)
    known = _groups(pixels.reshape(-1, 3))
    colours, _ = _fills(pixels)
    far = np.ones(len(colours), dtype=bool)
    for colour in known:
        far &= np.linalg.norm(colours - np.array(colour), axis=1) > ALIKE
    small: list[Colour] = []
    for colour in map(_as_colour, colours[far]):
        if all(_distance(colour, other) > ALIKE for other in small) and _is_filled(colour, pixels):
            small.append(colour)
        if len(small) == MOST_REGIONS:
            break
    return [
        f"{where}: {name_of(colour)} covers {_share_of(colour, mask):.2g} of its area and is not a region, "
        f"which covers at least {SMALLEST_SHARE:g}"
        for colour in small
    ]


def palette(mask: Image.Image, what: str) -> list[Colour]:
    """Return the colours of a mask's regions, the largest region first.

    Raises:
        OptionsError: if there are more than `MOST_REGIONS`, or two filled areas have colours that are too near.
    """
    pixels = _reduced(mask)
    found = _groups(pixels.reshape(-1, 3))
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
    if mask.mode.startswith("I;16"):  # which Pillow would clip at 255 instead of scaling
        mask = Image.fromarray((np.asarray(mask) >> 8).astype(np.uint8))
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
    """Cluster the pixels' colours, the most frequent first, each with all colours like it; drop small clusters."""
    codes, counts = np.unique(_codes(pixels), return_counts=True)
    colours = _colours(codes)
    found: list[Colour] = []
    left = np.ones(len(colours), dtype=bool)
    while left.any():
        place = int(np.argmax(np.where(left, counts, -1)))
        near = left & (np.linalg.norm(colours - colours[place], axis=1) <= ALIKE)
        if counts[near].sum() < SMALLEST_SHARE * len(pixels):
            if counts[place] * left.sum() < SMALLEST_SHARE * len(pixels):
                break  # none of the remaining colours can be large enough for a region
        else:
            found.append(_as_colour(colours[place]))
        left &= ~near
    return found


def _fills(pixels: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the colours that fill a square of `FILLED_PX` exactly and their numbers of pixels, the largest first.

    Returns:
        Colours, shape (K, 3), and numbers, shape (K,).
    """
    codes = _codes(pixels)
    picture = Image.fromarray(codes)
    lowest, highest = (
        np.asarray(picture.filter(rank(FILLED_PX))) for rank in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    values, counts = np.unique(codes, return_counts=True)
    fills = np.isin(values, codes[lowest == highest])
    values, counts = values[fills], counts[fills]
    order = np.argsort(-counts, kind="stable")
    return _colours(values[order]), counts[order]


def _merged_fills(pixels: npt.NDArray[np.int16], found: Sequence[Colour]) -> list[tuple[Colour, Colour]]:
    """Return the colours that fill areas of their own but were merged into one of `found`, together with that one.

    Compression and soft edges make areas of such colours too, but those are within `JITTER` of the other colour, or
    have about as many pixels between the two. Only in a label map, which has no such areas, may regions be nearer.
    """
    colours, counts = _fills(pixels)
    flat = pixels.reshape(-1, 3)
    is_label_map = counts.sum() >= LOSSLESS * len(flat)
    merged = []
    for colour, share in zip(map(_as_colour, colours), counts / len(flat), strict=True):
        if share < SMALLEST_SHARE:
            break
        owner = next((one for one in found if _distance(one, colour) <= ALIKE), None)
        if owner is None or owner == colour:
            continue
        near = _distance(owner, colour) < JITTER
        if (is_label_map and share >= LARGE_SHARE) if near else _are_separate(owner, colour, flat):
            merged.append((owner, colour))
    return merged


def _codes(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
    """Return colours, shape (..., 3), as single numbers 0xrrggbb, which sort and compare fast, shape (...)."""
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    codes: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return codes


def _colours(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def _as_colour(values: npt.NDArray[np.int32]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


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
