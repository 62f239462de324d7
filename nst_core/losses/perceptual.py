"""The targets of a batch of pairs, and the weighted sum of all losses from one pass through the network.

    total = content_weight * content + style_weight * style + tv_weight * tv

The recipes' formulas are in `nst_core.recipes`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.losses.content import content_loss
from nst_core.losses.gram import gram_matrix
from nst_core.losses.style import style_loss
from nst_core.losses.total_variation import total_variation
from nst_core.options import StylizeOptions
from nst_core.recipes import RECIPES

StyleTarget = dict[str, Tensor]
"""Layer name -> Gram matrix of the style image, shape (1, C, C), fp32."""

ContentTarget = dict[str, Tensor]
"""Layer name -> features of the content image, shape (N, C, H, W), fp32."""

SMALLEST_MEAN_SQUARE = 1e-12
"""Below this a target is nothing but zeros, and dividing by it would give infinity."""


@dataclass(frozen=True)
class LossTerms:
    """Losses of a batch, each of shape (N,): the weighted total and the unweighted parts."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor

    def values(self) -> list["LossValues"]:
        """One set of plain numbers per pastiche, in one transfer from the device."""
        rows = torch.stack([self.total, self.content, self.style, self.tv], dim=1).detach().tolist()
        return [LossValues(*row) for row in rows]


@dataclass(frozen=True)
class LossValues:
    """The losses of one pastiche: the weighted total and the unweighted parts."""

    total: float
    content: float
    style: float
    tv: float


@torch.no_grad()
def encode_style(network: VGG, image: Tensor, options: StylizeOptions) -> StyleTarget:
    """The style target of a style image, shape (1, 3, H, W)."""
    features = network(image, options.style_layers, options.pooling)
    return {layer: gram_matrix(features[layer]) for layer in options.style_layers}


@torch.no_grad()
def encode_content(network: VGG, image: Tensor, options: StylizeOptions) -> ContentTarget:
    """The content target of a batch of content images, shape (N, 3, H, W)."""
    features = network(image, options.content_layers, options.pooling)
    return {layer: features[layer] for layer in options.content_layers}


class PerceptualLoss:
    """The losses of a batch of pastiches against their targets.

    Args:
        options: resolved; shared by the batch.
        content: targets of shape (N, ...).
        style: targets of shape (N, C, C), or (1, C, C) for one style that all share.
    """

    def __init__(self, network: VGG, content: ContentTarget, style: StyleTarget, options: StylizeOptions) -> None:
        self.network, self.content, self.style, self.options = network, content, style, options
        self.recipe = RECIPES[options.recipe]
        self.layers = tuple(dict.fromkeys((*options.content_layers, *options.style_layers)))
        assert options.style_layer_weights is not None, "options must be resolved"
        self.layer_weights = dict(zip(options.style_layers, options.style_layer_weights, strict=True))

    def __call__(self, pastiche: Tensor) -> LossTerms:
        """Losses of pastiches in [0, 1], shape (N, 3, H, W), from one pass through the network."""
        features = self.network(pastiche, self.layers, self.options.pooling)
        content = self._content(features)
        style = self._style(features)
        tv = total_variation(pastiche)
        total = _weighted(self.options.content_weight, content) + _weighted(self.options.style_weight, style)
        return LossTerms(total + _weighted(self.options.tv_weight, tv), content, style, tv)

    def keep(self, index: Tensor) -> "PerceptualLoss":
        """The loss of some of the batch's pastiches, in the order of `index`."""
        content = {layer: target[index] for layer, target in self.content.items()}
        style = {layer: gram if gram.shape[0] == 1 else gram[index] for layer, gram in self.style.items()}
        return PerceptualLoss(self.network, content, style, self.options)

    def _content(self, features: dict[str, Tensor]) -> Tensor:
        terms = []
        for layer, target in self.content.items():
            channels, positions = target.shape[1], target.shape[2] * target.shape[3]
            mean_square = target.square().mean(dim=(1, 2, 3)).clamp_min(SMALLEST_MEAN_SQUARE)
            scale = self.recipe.content_scale(channels, positions, mean_square)
            terms.append(scale * content_loss(features[layer], target))
        return torch.stack(terms).sum(dim=0)

    def _style(self, features: dict[str, Tensor]) -> Tensor:
        terms = []
        for layer, target in self.style.items():
            channels, positions = features[layer].shape[1], features[layer].shape[2] * features[layer].shape[3]
            mean_square = target.square().mean(dim=(1, 2)).clamp_min(SMALLEST_MEAN_SQUARE)
            scale = self.layer_weights[layer] * self.recipe.style_scale(channels, positions, mean_square)
            terms.append(scale * style_loss(gram_matrix(features[layer]), target))
        return torch.stack(terms).sum(dim=0)


def _weighted(weight: float | None, loss: Tensor) -> Tensor:
    assert weight is not None, "options must be resolved"
    return weight * loss
