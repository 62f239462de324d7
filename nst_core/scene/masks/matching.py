"""The regions of two masks, of a content and of a style image, matched by their colours."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from nst_core.errors import OptionsError
from nst_core.scene.masks.colours import ALIKE, Colour, as_colour, distance, is_mixture, name_of
from nst_core.scene.masks.counting import fills, groups, is_filled, reduced, share_of
from nst_core.scene.masks.levels import SMALLEST_SHARE
from nst_core.scene.masks.palette import MOST_REGIONS, palette

SURELY_FILLED = 0.02
"""Share of a mask's area; a colour between two others that covers less counts as their edge if the other mask lacks
it."""


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


def _nearest(colour: Colour, others: Sequence[Colour]) -> int | None:
    place = min(range(len(others)), key=lambda other: distance(colour, others[other]), default=None)
    return place if place is not None and distance(colour, others[place]) <= 2 * ALIKE else None


def _may_be_edge(colour: Colour, colours: Sequence[Colour], mask: Image.Image) -> bool:
    """Return whether a colour that the other mask lacks may be an edge: a mixture of two others on a small area."""
    others = [one for one in colours if one != colour]
    return is_mixture(colour, others) and share_of(colour, mask) < SURELY_FILLED


def _alone(colour: Colour, where: str, where_not: str, mask_without: Image.Image) -> str:
    share = share_of(colour, mask_without)
    told = f"has it on {share:.2g} of its area alone, which counts from {SMALLEST_SHARE:g} on"
    return f"{where} has the region {name_of(colour)}, {where_not} {told if 0 < share < SMALLEST_SHARE else 'has not'}"


def _edge_note(colour: Colour, where: str, mask: Image.Image, where_not: str) -> str:
    share = share_of(colour, mask)
    return (
        f"{where}: {name_of(colour)} covers {share:.2g} of its area and is not in {where_not}; it lies between two "
        "other colours and is taken for their edge, not for a region"
    )


def _small_area_notes(mask: Image.Image, where: str) -> list[str]:
    """Describe the filled areas that are too small to be regions."""
    pixels = reduced(mask)
    known = groups(pixels.reshape(-1, 3))
    colours, _ = fills(pixels)
    far = np.ones(len(colours), dtype=bool)
    for colour in known:
        far &= np.linalg.norm(colours - np.array(colour), axis=1) > ALIKE
    small: list[Colour] = []
    for colour in map(as_colour, colours[far]):
        if all(distance(colour, other) > ALIKE for other in small) and is_filled(colour, pixels):
            small.append(colour)
        if len(small) == MOST_REGIONS:
            break
    return [
        f"{where}: {name_of(colour)} covers {share_of(colour, mask):.2g} of its area and is not a region, "
        f"which covers at least {SMALLEST_SHARE:g}"
        for colour in small
    ]
