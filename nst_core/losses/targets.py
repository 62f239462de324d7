"""What the pastiches of a batch are held to: features of content images, and matrices of style images."""

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.losses.moments import MomentsComparison
from nst_core.losses.reading import FeatureReader, Places, StyleReader, read_in_tiles, shown_to
from nst_core.losses.regions import Regions
from nst_core.losses.style import GramComparison, StyleComparison
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

StyleTarget = dict[str, Tensor]
"""Layer name -> matrices of the regions of the style image (one, where there are none), shape (N, R, K, K), fp32."""

ContentTarget = dict[str, Tensor]
"""Layer name -> features of the content image, shape (N, C, H, W), fp32."""

COMPARISONS: dict[str, StyleComparison] = {"gram": GramComparison(), "moments": MomentsComparison()}
"""By the recipes' word for it."""


def comparison_of(options: StylizeOptions) -> StyleComparison:
    """How the recipe of some options compares styles."""
    return COMPARISONS[RECIPES[options.recipe].comparison]


@torch.no_grad()
def encode_style(
    network: VGG, image: Tensor, options: StylizeOptions, regions: Regions | None = None, tile_px: int | None = None
) -> StyleTarget:
    """The style targets of style images, shape (N, 3, H, W), or of each of their regions."""
    style = StyleReader(comparison_of(options), options.style_layers, Places(image, regions))
    read_in_tiles(network, image, options.style_layers, options.pooling, tile_px, style.read)
    return style.matrices()


@torch.no_grad()
def encode_content(network: VGG, image: Tensor, options: StylizeOptions, tile_px: int | None = None) -> ContentTarget:
    """The content target of a batch of content images, shape (N, 3, H, W)."""
    content = FeatureReader(options.content_layers, image)
    read_in_tiles(network, image, options.content_layers, options.pooling, tile_px, content.read)
    return content.maps()


@torch.no_grad()
def encode_both(
    network: VGG, image: Tensor, options: StylizeOptions, regions: Regions | None = None, tile_px: int | None = None
) -> tuple[ContentTarget, StyleTarget]:
    """The content target of content images, and the matrices that their own style has, from one pass."""
    content = FeatureReader(options.content_layers, image)
    style = StyleReader(comparison_of(options), options.style_layers, Places(image, regions))
    read = shown_to(content.read, style.read)
    read_in_tiles(network, image, layers_of(options), options.pooling, tile_px, read)
    return content.maps(), style.matrices()


def layers_of(options: StylizeOptions) -> tuple[str, ...]:
    """All layers that a loss reads, each once."""
    return tuple(dict.fromkeys((*options.content_layers, *options.style_layers)))
