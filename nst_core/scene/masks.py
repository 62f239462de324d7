"""Masks, pictures whose colours are regions -> maps of where each region is.

The colours of the regions are the mask's outermost ones: what lies between two of them, as along a soft edge, is partly
in both. So a mask of black and white with grey edges has two regions, and so has one that was saved as a JPEG.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from nst_core.errors import OptionsError
from nst_core.images import resize
from nst_core.losses.regions import shrunk_maps

MOST_REGIONS = 8

SMALLEST_SHARE = 0.002
"""Of a mask's area; a colour of less is noise, or an edge."""

ALIKE = 56.0
"""Distance of two RGB colours, of 255 each, up to which they are one: compression moves colours, and so do edges."""

BETWEEN = 40.0
"""Distance from the line between two colours up to which a third is a mixture of both."""

LONGEST_LOOKED_AT_PX = 512
"""A mask's colours are counted on a copy of this size."""

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
    """The regions of two masks of mode RGB, matched by colour; None where there are no masks.

    Raises:
        OptionsError: if there is one mask alone, a colour is in one of them alone, or there are too many.
    """
    if content_mask is None and style_mask is None:
        return None
    if content_mask is None or style_mask is None:
        alone, missing = ("style_mask", "content_mask") if content_mask is None else ("content_mask", "style_mask")
        raise OptionsError(f"{alone} goes with a {missing} of the same colours: give both or none")
    ours, theirs = palette(content_mask, "content_mask"), palette(style_mask, "style_mask")
    partners = [_nearest(colour, theirs) for colour in ours]
    alone_here = [name_of(colour) for colour, partner in zip(ours, partners, strict=True) if partner is None]
    alone_there = [name_of(theirs[place]) for place in range(len(theirs)) if place not in partners]
    problems = [_alone(alone_here, "content_mask", "style_mask"), _alone(alone_there, "style_mask", "content_mask")]
    if any(problems):
        raise OptionsError("; ".join(filter(None, problems)))
    return RegionColours(tuple(ours), tuple(theirs[place] for place in partners if place is not None))


def _alone(colours: Sequence[str], where: str, where_not: str) -> str:
    regions = "region" if len(colours) == 1 else "regions"
    said = f"{where} has the {regions} {', '.join(colours)}, {where_not} has not: give both masks the same colours"
    return said if colours else ""


def palette(mask: Image.Image, what: str) -> list[Colour]:
    """The colours of a mask's regions, the largest first.

    Raises:
        OptionsError: if there are more than `MOST_REGIONS`.
    """
    small = mask.copy()
    small.thumbnail((LONGEST_LOOKED_AT_PX, LONGEST_LOOKED_AT_PX), Image.Resampling.NEAREST)
    found = _groups(np.asarray(small, dtype=np.int16).reshape(-1, 3))
    outermost = [colour for colour in found if not _is_mixture(colour, [one for one in found if one != colour])]
    if len(outermost) > MOST_REGIONS:
        raise OptionsError(
            f"{what}: expected {MOST_REGIONS} regions at most, found {len(outermost)} colours: "
            f"{', '.join(map(name_of, outermost[:12]))}; fill each region with one colour"
        )
    return outermost


def maps_of(mask: Image.Image, colours: Sequence[Colour], size: tuple[int, int]) -> torch.Tensor:
    """Where in a mask, brought to a size (width, height), each colour is: shape (1, R, H, W), adding up to 1."""
    width, height = size
    # A pixel is shared out before it is resized: in between, colours would pass through those of other regions.
    pixels = np.asarray(_at_most(mask, size), dtype=np.float32)
    shares = _shares(pixels.reshape(-1, 3), np.array(colours, dtype=np.float32))
    maps = torch.from_numpy(shares.T.reshape(1, len(colours), *pixels.shape[:2]).copy())
    if maps.shape[2] >= height and maps.shape[3] >= width:
        return shrunk_maps(maps, height, width)
    return torch.nn.functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def coverage(mask: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """How white a mask of mode RGB is, brought to a size (width, height): shape (1, 1, H, W), 1 in its white."""
    light = np.array(resize(mask.convert("L"), *size), dtype=np.float32) / 255.0
    return torch.from_numpy(light)[None, None]


def name_of(colour: Colour) -> str:
    """A colour in words and as #rrggbb."""
    near = min(NAMES, key=lambda known: _distance(known, colour))
    code = "#{:02x}{:02x}{:02x}".format(*colour)
    return f"{NAMES[near]} ({code})" if _distance(near, colour) <= ALIKE else code


def _groups(pixels: npt.NDArray[np.int16]) -> list[Colour]:
    """Colours that are worth a region, the most frequent first; what is like a more frequent one belongs to it."""
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    found: list[Colour] = []
    left = np.ones(len(colours), dtype=bool)
    while left.any():
        place = int(np.argmax(np.where(left, counts, -1)))
        near = left & (np.linalg.norm(colours - colours[place], axis=1) <= ALIKE)
        if counts[near].sum() < SMALLEST_SHARE * len(pixels):
            if counts[place] * left.sum() < SMALLEST_SHARE * len(pixels):
                break  # nothing of the rest can come to a region
        else:
            red, green, blue = (int(value) for value in colours[place])
            found.append((red, green, blue))
        left &= ~near
    return found


def _is_mixture(colour: Colour, others: Sequence[Colour]) -> bool:
    """Whether a colour lies between two others."""
    return any(_distance_from_line(colour, *ends) <= BETWEEN for ends in itertools.combinations(others, 2))


def _distance_from_line(colour: Colour, start: Colour, end: Colour) -> float:
    """From the inside of a line: what is beyond its ends is not between them."""
    line = np.subtract(end, start, dtype=np.float64)
    along = float(np.dot(np.subtract(colour, start), line) / np.dot(line, line))
    if not 0.0 < along < 1.0:
        return float("inf")
    return float(np.linalg.norm(np.subtract(colour, start) - along * line))


def _shares(pixels: npt.NDArray[np.float32], colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each pixel's share of each colour: of the two whose mixture comes nearest to it. Shape (pixels, R)."""
    if len(colours) == 1:
        return np.ones((len(pixels), 1), dtype=np.float32)
    best = np.full(len(pixels), np.inf, dtype=np.float32)
    shares = np.zeros((len(pixels), len(colours)), dtype=np.float32)
    for one, other in itertools.combinations(range(len(colours)), 2):
        line = colours[other] - colours[one]
        along = np.clip((pixels - colours[one]) @ line / (line @ line), 0.0, 1.0)
        apart = np.square(pixels - colours[one] - along[:, None] * line).sum(axis=1)
        better = apart < best
        best[better] = apart[better]
        shares[better] = 0.0
        shares[better, one], shares[better, other] = 1.0 - along[better], along[better]
    return shares


def _nearest(colour: Colour, others: Sequence[Colour]) -> int | None:
    place = min(range(len(others)), key=lambda other: _distance(colour, others[other]), default=None)
    return place if place is not None and _distance(colour, others[place]) <= 2 * ALIKE else None


def _distance(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one, other)))


def _at_most(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask no larger than twice the size that it is wanted at, for the sake of memory."""
    width, height = min(mask.width, 2 * size[0]), min(mask.height, 2 * size[1])
    return mask.resize((width, height), Image.Resampling.BOX) if (width, height) != mask.size else mask
