"""Optimisation targets of a batch: features of content images, and style matrices of style images."""

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.losses.moments import MomentsComparison
from nst_core.losses.reading import FeatureReader, Places, StyleReader, fan_out, read_in_tiles
from nst_core.losses.regions import Regions
from nst_core.losses.style import GramComparison, StyleComparison
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

StyleTarget = dict[str, Tensor]
"""Maps a layer name to the style matrices of the style image's regions (one without masks), shape (N, R, K, K),
fp32."""

ContentTarget = dict[str, Tensor]
"""Maps a layer name to the features of the content image, shape (N, C, H, W), fp32."""

COMPARISONS: dict[str, StyleComparison] = {"gram": GramComparison(), "moments": MomentsComparison()}
"""Style comparisons by their name in the recipes."""


def comparison_of(options: StylizeOptions) -> StyleComparison:
    """Return the style comparison that the options' recipe uses."""
    return COMPARISONS[RECIPES[options.recipe].comparison]


@torch.no_grad()
def encode_style(
    network: VGG, image: Tensor, options: StylizeOptions, regions: Regions | None = None, tile_px: int | None = None
) -> StyleTarget:
    """Encode the style targets of style images, shape (N, 3, H, W), or of each of their regions."""
    style = StyleReader(comparison_of(options), options.style_layers, Places(image, regions))
    read_in_tiles(network, image, options.style_layers, options.pooling, tile_px, style.read)
    return style.matrices()


@torch.no_grad()
def encode_content(network: VGG, image: Tensor, options: StylizeOptions, tile_px: int | None = None) -> ContentTarget:
    """Encode the content target of a batch of content images, shape (N, 3, H, W)."""
    content = FeatureReader(options.content_layers, image)
    read_in_tiles(network, image, options.content_layers, options.pooling, tile_px, content.read)
    return content.maps()


@torch.no_grad()
def encode_both(
    network: VGG, image: Tensor, options: StylizeOptions, regions: Regions | None = None, tile_px: int | None = None
) -> tuple[ContentTarget, StyleTarget]:
    """Encode the content target and the style matrices of content images in one pass."""
    content = FeatureReader(options.content_layers, image)
    style = StyleReader(comparison_of(options), options.style_layers, Places(image, regions))
    read = fan_out(content.read, style.read)
    read_in_tiles(network, image, layers_of(options), options.pooling, tile_px, read)
    return content.maps(), style.matrices()


def layers_of(options: StylizeOptions) -> tuple[str, ...]:
    """Return all layers that a loss reads, without duplicates."""
    return tuple(dict.fromkeys((*options.content_layers, *options.style_layers)))
