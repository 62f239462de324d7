"""Regions: a style for each part of a picture (Gatys et al., 2017, 1611.07865, section 4).

A region is a map T in [0, 1] of where it is, brought to each layer's size. Its style is that of the features T o F, as
if T were scaled so that sum(T^2) = 1, and counts by its share of the content's area.

The sums over positions are divided by sum(T^2) instead: T is then exactly 1 inside a region, where a scaled one would
be rounded with the features' precision, by up to 0.4 % in bf16 and the same way at every position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

SMALLEST_SUM = 1e-12
"""Of a region that is not there at all."""


@dataclass(frozen=True)
class LayerWeights:
    """How much each position of a layer belongs to each region.

    Attributes:
        maps: shape (N, R, height, width), in [0, 1]; the largest weight of a region is 1.
        square_sums: of each map, shape (N, R); above 0 even where a region is nowhere.
    """

    maps: Tensor
    square_sums: Tensor


@dataclass(frozen=True)
class Regions:
    """Where in the pictures of a batch each region is.

    Args:
        maps: in [0, 1], shape (N, R, H, W).
    """

    maps: Tensor
    _at: dict[tuple[int, int], LayerWeights] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shares(self) -> Tensor:
        """Of the area that is in any region, shape (N, R)."""
        areas = self.maps.mean(dim=(2, 3))
        return areas / areas.sum(dim=1, keepdim=True).clamp_min(SMALLEST_SUM)

    def of_content(self, height: int, width: int) -> Tensor:
        """How much each position of a layer counts for the content, shape (N, 1, height, width), of mean 1.

        What is in no region is not painted, or not to be seen: it does not count. Where nothing is painted all counts.
        """
        painted = maps_at_layer(self.maps.sum(dim=1, keepdim=True), height, width)
        mean = painted.mean(dim=(2, 3), keepdim=True)
        return torch.where(mean > 0.0, painted / mean.clamp_min(SMALLEST_SUM), 1.0)

    def at(self, height: int, width: int) -> LayerWeights:
        """The regions at a layer's size. Kept: every tile of every evaluation asks for its part of them."""
        if (height, width) not in self._at:
            maps = maps_at_layer(self.maps, height, width)
            maps = maps / maps.amax(dim=(2, 3), keepdim=True).clamp_min(SMALLEST_SUM)
            square_sums = maps.square().sum(dim=(2, 3)).clamp_min(SMALLEST_SUM)
            self._at[height, width] = LayerWeights(maps, square_sums)
        return self._at[height, width]

    def keep(self, index: Tensor) -> "Regions":
        """Those of some of the batch's pictures."""
        return Regions(self.maps[index])


def maps_at_layer(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps at a layer's size: at each position the mean over the pixels that poolings bring together there.

    What poolings leave over of an odd side goes to the last position, so that no region is lost on the way.
    """
    return _means_along(_means_along(maps, 2, height), 3, width)


def _means_along(maps: Tensor, dim: int, positions: int) -> Tensor:
    side = maps.shape[dim]
    if side == positions:
        return maps
    stride = 1 << (side.bit_length() - positions.bit_length())  # a side is halved, and rounded down, at each pooling
    last = (positions - 1) * stride
    means = torch.unflatten(maps.narrow(dim, 0, last), dim, (positions - 1, stride)).mean(dim + 1)
    return torch.cat([means, maps.narrow(dim, last, side - last).mean(dim, keepdim=True)], dim)


def together(regions: Sequence[Regions | None], height: int, width: int) -> Regions | None:
    """Those of single pictures of a size as one batch's; None where none has any. One without has one, everywhere."""
    if not any(regions):
        return None
    maps = [
        torch.ones(1, 1, height, width, dtype=torch.float32, device="cpu") if one is None else one.maps
        for one in regions
    ]
    return Regions(maps[0] if len(maps) == 1 else torch.cat(maps))


def count(regions: Regions | None) -> int:
    """How many there are."""
    return 1 if regions is None else regions.maps.shape[1]
