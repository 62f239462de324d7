"""The style of a pair: one image, a blend of several, or the regions of one; and its targets at any pyramid level."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import exact_tile_px
from nst_core.losses.regions import Regions, region_count
from nst_core.losses.targets import StyleTarget, encode_style
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import check_image
from nst_core.scene.shrink import shrink


@dataclass(frozen=True)
class StylePicture:
    """One image of a style.

    Attributes:
        image: the image, shape (1, 3, H, W), in [0, 1], on the CPU.
        share: its share of the blend; the shares of a style's images add up to 1.
        regions: the map of each region in the image; None means one region, everywhere.
    """

    image: Tensor
    share: float = 1.0
    regions: Regions | None = None

    def __post_init__(self) -> None:
        check_image(self.image, "style")


@dataclass(frozen=True, eq=False)
class StyleImage:
    """A style with its target at full size, encoded once for many pairs."""

    pictures: tuple[StylePicture, ...]
    target: StyleTarget

    @property
    def shortest_px(self) -> int:
        """The shortest of all sides of its images."""
        return min(side for picture in self.pictures for side in picture.image.shape[2:])

    @property
    def regions(self) -> int:
        """The number of regions; a style without masks has one, everywhere."""
        return region_count(self.pictures[0].regions)


def style_target(
    network: VGG, pictures: Sequence[StylePicture], options: StylizeOptions, device: str, level: int = 0
) -> StyleTarget:
    """Encode the target of a style whose images are halved `level` times.

    The target of a blend is the weighted mean of the images' matrices, A_l = sum_k b_k A_l^(k), each averaged over its
    own positions.
    """
    targets = []
    for picture in pictures:
        regions = picture.regions and Regions(shrink(picture.regions.maps, level).to(device))
        image = shrink(picture.image.to(device), level)
        height, width = image.shape[2:]
        target = encode_style(network, image, options, regions, exact_tile_px(height, width))
        targets.append({layer: picture.share * matrix for layer, matrix in target.items()})
    return {layer: torch.stack([target[layer] for target in targets]).sum(dim=0) for layer in options.style_layers}
