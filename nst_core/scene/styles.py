"""The style of a pair: one picture, a blend of several, or the regions of one; and its targets at any level."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import exact_tile_px
from nst_core.losses.regions import Regions, count
from nst_core.losses.targets import StyleTarget, encode_style
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import check_image
from nst_core.scene.shrink import shrink


@dataclass(frozen=True)
class StylePicture:
    """One picture of a style.

    Attributes:
        image: shape (1, 3, H, W), in [0, 1], on the CPU.
        share: of a blend; the shares of its pictures add up to 1.
        regions: where in it each region is; None is everywhere.
    """

    image: Tensor
    share: float = 1.0
    regions: Regions | None = None

    def __post_init__(self) -> None:
        check_image(self.image, "style")


@dataclass(frozen=True, eq=False)
class StyleImage:
    """A style with its target at full size: one encoding serves many pairs."""

    pictures: tuple[StylePicture, ...]
    target: StyleTarget

    @property
    def shortest_px(self) -> int:
        """Of all sides of its pictures."""
        return min(side for picture in self.pictures for side in picture.image.shape[2:])

    @property
    def regions(self) -> int:
        """How many it has; without masks that is one, everywhere."""
        return count(self.pictures[0].regions)


def style_target(
    network: VGG, pictures: Sequence[StylePicture], options: StylizeOptions, device: str, level: int = 0
) -> StyleTarget:
    """The target of a style whose pictures are halved `level` times.

    Of a blend it is the weighted mean of the pictures' matrices, A_l = sum_k b_k A_l^(k), each over its own positions.
    """
    targets = []
    for picture in pictures:
        regions = picture.regions and Regions(shrink(picture.regions.maps, level).to(device))
        image = shrink(picture.image.to(device), level)
        height, width = image.shape[2:]
        target = encode_style(network, image, options, regions, exact_tile_px(height, width))
        targets.append({layer: picture.share * matrix for layer, matrix in target.items()})
    return {layer: torch.stack([one[layer] for one in targets]).sum(dim=0) for layer in options.style_layers}
