"""The targets of a batch of pairs, and the weighted sum of all losses from one pass through the network.

    total = content_weight * content + style_weight * style + tv_weight * tv

The recipes' formulas are in `nst_core.recipes`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG, FeatureMaps
from nst_core.losses.content import content_loss
from nst_core.losses.gram import add_gram_gradient, gram_matrix
from nst_core.losses.style import style_loss
from nst_core.losses.total_variation import total_variation, total_variation_gradient
from nst_core.losses.values import LossValues
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

    def values(self) -> list[LossValues]:
        """One set of plain numbers per pastiche, in one transfer from the device."""
        rows = torch.stack([self.total, self.content, self.style, self.tv], dim=1).detach().tolist()
        return [LossValues(*row) for row in rows]


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

    def __init__(
        self, network: VGG | ScheduledVGG, content: ContentTarget, style: StyleTarget, options: StylizeOptions
    ) -> None:
        self.scheduled = network if isinstance(network, ScheduledVGG) else ScheduledVGG(network)
        self.content, self.style, self.options = content, style, options
        self.recipe = RECIPES[options.recipe]
        self.layers = tuple(dict.fromkeys((*options.content_layers, *options.style_layers)))
        assert options.style_layer_weights is not None, "options must be resolved"
        self.layer_weights = dict(zip(options.style_layers, options.style_layer_weights, strict=True))
        self.content_mean_squares = {layer: _mean_square(target) for layer, target in content.items()}
        self.style_mean_squares = {layer: _mean_square(target) for layer, target in style.items()}

    def __call__(self, pastiche: Tensor) -> LossTerms:
        """Losses of pastiches in [0, 1], shape (N, 3, H, W), from one pass through the network; autograd may follow."""
        return self.of_features(self.scheduled.network(pastiche, self.layers, self.options.pooling), pastiche)

    def of_features(self, features: FeatureMaps, pastiche: Tensor) -> LossTerms:
        """Losses of pastiches whose features, of all layers of the options, are known already."""
        content = [self._content_term(layer, features[layer]) for layer in self.content]
        style = [self._style_term(layer, features[layer], gram_matrix(features[layer])) for layer in self.style]
        return self._sum(content, style, total_variation(pastiche))

    @torch.no_grad()
    def with_gradient(self, pastiche: Tensor) -> tuple[LossTerms, Tensor]:
        """The losses, and the gradient of each total with respect to its pastiche, shape (N, 3, H, W)."""
        content: list[Tensor] = []
        style: list[Tensor] = []
        gram_gradients: dict[str, Tensor] = {}

        def read(layer: str, features: Tensor) -> None:
            if layer in self.content:
                content.append(self._content_term(layer, features))
            if layer in self.style:
                gram = gram_matrix(features)
                style.append(self._style_term(layer, features, gram))
                gram_gradients[layer] = self._gram_gradient(layer, features, gram)

        def add(layer: str, features: Tensor, gradient: Tensor | None) -> Tensor:
            if layer in self.style:
                gradient = add_gram_gradient(features, gram_gradients.pop(layer), gradient)
            if layer in self.content:
                own = self._content_gradient(layer, features)
                gradient = own if gradient is None else gradient.add_(own)
            assert gradient is not None, "every layer that is read has a loss"
            return gradient

        ran = self.scheduled.forward(pastiche, self.layers, self.options.pooling, read)
        gradient = ran.backward(add)
        if self.options.tv_weight:
            gradient = gradient.add(total_variation_gradient(pastiche), alpha=self.options.tv_weight)
        return self._sum(content, style, total_variation(pastiche)), gradient

    def keep(self, index: Tensor) -> "PerceptualLoss":
        """The loss of some of the batch's pastiches, in the order of `index`."""
        content = {layer: target[index] for layer, target in self.content.items()}
        style = {layer: gram if gram.shape[0] == 1 else gram[index] for layer, gram in self.style.items()}
        return PerceptualLoss(self.scheduled, content, style, self.options)

    def _sum(self, content: list[Tensor], style: list[Tensor], tv: Tensor) -> LossTerms:
        content_loss, style_loss = torch.stack(content).sum(dim=0), torch.stack(style).sum(dim=0)
        total = _weighted(self.options.content_weight, content_loss) + _weighted(self.options.style_weight, style_loss)
        return LossTerms(total + _weighted(self.options.tv_weight, tv), content_loss, style_loss, tv)

    def _content_term(self, layer: str, features: Tensor) -> Tensor:
        return self._content_scale(layer, features) * content_loss(features, self.content[layer])

    def _style_term(self, layer: str, features: Tensor, gram: Tensor) -> Tensor:
        return self._style_scale(layer, features) * style_loss(gram, self.style[layer])

    def _content_gradient(self, layer: str, features: Tensor) -> Tensor:
        """D total / d features: of scale * mean((F - P)^2)."""
        factor = _weighted(self.options.content_weight, self._content_scale(layer, features)) * 2.0
        factor = factor / features[0].numel()
        return features.sub(self.content[layer]).mul_(factor.view(-1, 1, 1, 1)).to(features.dtype)

    def _gram_gradient(self, layer: str, features: Tensor, gram: Tensor) -> Tensor:
        """D total / d Gram matrix, symmetric: of scale * mean((G - A)^2)."""
        factor = _weighted(self.options.style_weight, self._style_scale(layer, features)) * 2.0 / gram[0].numel()
        return (gram - self.style[layer]) * factor.view(-1, 1, 1)

    def _content_scale(self, layer: str, features: Tensor) -> Tensor:
        mean_square = self.content_mean_squares[layer]
        scale = self.recipe.content_scale(features.shape[1], features.shape[2] * features.shape[3], mean_square)
        return scale * torch.ones_like(mean_square)

    def _style_scale(self, layer: str, features: Tensor) -> Tensor:
        mean_square = self.style_mean_squares[layer]
        scale = self.recipe.style_scale(features.shape[1], features.shape[2] * features.shape[3], mean_square)
        return self.layer_weights[layer] * scale * torch.ones_like(mean_square)


def _mean_square(target: Tensor) -> Tensor:
    """One number per pastiche, shape (N,)."""
    return target.square().flatten(1).mean(dim=1).clamp_min(SMALLEST_MEAN_SQUARE)


def _weighted(weight: float | None, loss: Tensor) -> Tensor:
    assert weight is not None, "options must be resolved"
    return weight * loss
