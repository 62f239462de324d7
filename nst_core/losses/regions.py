"""Regions: a style for each part of an image (Gatys et al., 2017, 1611.07865, section 4).

A region is a map T in [0, 1] of where it lies, brought to each layer's size. Its style is that of the features T o F,
as if T were scaled so that sum(T^2) = 1, and is weighted by the region's share of the content's area.

The code divides the sums over positions by sum(T^2) instead: T is then exactly 1 inside a region. A scaled T would be
rounded in the features' precision, by up to 0.4 % in bf16 and in the same direction at every position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

SMALLEST_SUM = 1e-12
"""Minimum divisor, for a region that is empty."""


@dataclass(frozen=True)
class LayerWeights:
    """The weight of each position of a layer in each region.

    Attributes:
        maps: weights in [0, 1], shape (N, R, height, width); the largest weight of a region is 1.
        square_sums: the sum of squares of each map, shape (N, R); above 0 even for an empty region.
    """

    maps: Tensor
    square_sums: Tensor


@dataclass(frozen=True)
class Regions:
    """The regions of the images of a batch.

    Args:
        maps: where each region lies, in [0, 1], shape (N, R, H, W).
    """

    maps: Tensor
    _at: dict[tuple[int, int], LayerWeights] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shares(self) -> Tensor:
        """Each region's share of the area that belongs to any region, shape (N, R)."""
        areas = self.maps.mean(dim=(2, 3))
        return areas / areas.sum(dim=1, keepdim=True).clamp_min(SMALLEST_SUM)

    def of_content(self, height: int, width: int) -> Tensor:
        """Return the weight of each position of a layer in the content loss, shape (N, 1, height, width), with mean 1.

        Positions outside all regions are not painted or not visible and do not count. If nothing is painted, all count
        equally.
        """
        painted = maps_at_layer(self.maps.sum(dim=1, keepdim=True), height, width)
        mean = painted.mean(dim=(2, 3), keepdim=True)
        return torch.where(mean > 0.0, painted / mean.clamp_min(SMALLEST_SUM), 1.0)

    def at(self, height: int, width: int) -> LayerWeights:
        """Return the regions at a layer's size, cached because every tile of every evaluation requests part of them."""
        if (height, width) not in self._at:
            maps = maps_at_layer(self.maps, height, width)
            maps = maps / maps.amax(dim=(2, 3), keepdim=True).clamp_min(SMALLEST_SUM)
            square_sums = maps.square().sum(dim=(2, 3)).clamp_min(SMALLEST_SUM)
            self._at[height, width] = LayerWeights(maps, square_sums)
        return self._at[height, width]

    def keep(self, index: Tensor) -> "Regions":
        """Return the regions of some of the batch's images."""
        return Regions(self.maps[index])


def maps_at_layer(maps: Tensor, height: int, width: int) -> Tensor:
    """Downsample maps to a layer's size: each position is the mean over the pixels that pooling combines there.

    The pixels that pooling drops at the end of an odd side are assigned to the last position, so that no region is
    lost.
    """
    return _means_along(_means_along(maps, 2, height), 3, width)


def _means_along(maps: Tensor, dim: int, positions: int) -> Tensor:
    side = maps.shape[dim]
    if side == positions:
        return maps
    stride = 1 << (side.bit_length() - positions.bit_length())  # pooling halves a side, rounding down
    last = (positions - 1) * stride
    means = torch.unflatten(maps.narrow(dim, 0, last), dim, (positions - 1, stride)).mean(dim + 1)
    return torch.cat([means, maps.narrow(dim, last, side - last).mean(dim, keepdim=True)], dim)


def batch_regions(regions: Sequence[Regions | None], height: int, width: int) -> Regions | None:
    """Combine the regions of single images of one size into a batch's; None if no image has any.

    An image without regions is given one that covers everything.
    """
    if not any(regions):
        return None
    maps = [
        torch.ones(1, 1, height, width, dtype=torch.float32, device="cpu") if one is None else one.maps
        for one in regions
    ]
    return Regions(maps[0] if len(maps) == 1 else torch.cat(maps))


def region_count(regions: Regions | None) -> int:
    """Return the number of regions; without maps there is one, everywhere."""
    return 1 if regions is None else regions.maps.shape[1]
