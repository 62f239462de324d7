"""Regions: a style for each part of a picture (Gatys et al., 2017, 1611.07865, section 4).

A region is a map T in [0, 1] of where it is, brought to each layer's size and scaled so that sum(T^2) = 1. Its style is
that of the features T o F, and counts by its share of the content's area.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_SUM = 1e-12
"""Of a region that is not there at all."""


@dataclass(frozen=True)
class Regions:
    """Where in the pictures of a batch each region is.

    Args:
        maps: in [0, 1], shape (N, R, H, W).
    """

    maps: Tensor
    _at: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shares(self) -> Tensor:
        """Of the area that is in any region, shape (N, R)."""
        areas = self.maps.mean(dim=(2, 3))
        return areas / areas.sum(dim=1, keepdim=True).clamp_min(SMALLEST_SUM)

    @property
    def area(self) -> Tensor:
        """Share of each picture that is in any region, shape (N,)."""
        return self.maps.sum(dim=1).mean(dim=(1, 2))

    def at(self, height: int, width: int) -> Tensor:
        """Maps for a layer, shape (N, R, height, width), the squares of each of which add up to 1.

        They are kept: every tile of every evaluation asks for its part of them.
        """
        if (height, width) not in self._at:
            maps = shrunk_maps(self.maps, height, width)
            norm = maps.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(SMALLEST_SUM)
            self._at[height, width] = maps / norm
        return self._at[height, width]

    def keep(self, index: Tensor) -> "Regions":
        """Those of some of the batch's pictures."""
        return Regions(self.maps[index])


def shrunk_maps(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps at another size, each position the mean of what it stands for."""
    if maps.shape[2:] == (height, width):
        return maps
    return functional.adaptive_avg_pool2d(maps, (height, width))


def together(regions: Sequence[Regions | None], height: int, width: int) -> Regions | None:
    """Those of single pictures of a size as one batch's; None where none has any. One without has one, everywhere."""
    if not any(regions):
        return None
    maps = [torch.ones(1, 1, height, width) if one is None else one.maps for one in regions]
    return Regions(maps[0] if len(maps) == 1 else torch.cat(maps))


def count(regions: Regions | None) -> int:
    """How many there are."""
    return 1 if regions is None else regions.maps.shape[1]
