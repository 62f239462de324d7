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
from nst_core.losses.moments import MomentsComparison
from nst_core.losses.regions import Regions
from nst_core.losses.style import GramComparison, StyleComparison
from nst_core.losses.total_variation import total_variation, total_variation_gradient
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.recipes import RECIPES

StyleTarget = dict[str, Tensor]
"""Layer name -> matrices of the regions of the style image (one, where there are none), shape (N, R, K, K), fp32."""

ContentTarget = dict[str, Tensor]
"""Layer name -> features of the content image, shape (N, C, H, W), fp32."""

SMALLEST_MAGNITUDE = 1e-12
"""Below this a target is nothing but zeros, and dividing by it would give infinity."""

COMPARISONS: dict[str, StyleComparison] = {"gram": GramComparison(), "moments": MomentsComparison()}
"""By the recipes' word for it."""


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
def encode_style(network: VGG, image: Tensor, options: StylizeOptions, regions: Regions | None = None) -> StyleTarget:
    """The style targets of style images, shape (N, 3, H, W), or of each of their regions."""
    comparison = comparison_of(options)
    features = network(image, options.style_layers, options.pooling)
    return {layer: style_matrices(comparison, features[layer], regions) for layer in options.style_layers}


def style_matrices(comparison: StyleComparison, features: Tensor, regions: Regions | None = None) -> Tensor:
    """The matrices of features, shape (N, C, H, W), averaged over the positions of each region: (N, R, K, K)."""
    if regions is None:
        return comparison.sums(features)[:, None] / (features.shape[2] * features.shape[3])
    maps = regions.at(*features.shape[2:])
    return torch.stack([comparison.sums(features, one[:, None]) for one in maps.unbind(dim=1)], dim=1)


def comparison_of(options: StylizeOptions) -> StyleComparison:
    """How the recipe of some options compares styles."""
    return COMPARISONS[RECIPES[options.recipe].comparison]


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
        style: targets of shape (N, R, K, K), or (1, R, K, K) for one style that all share.
        regions: where in the pastiches each of the R regions is; None where there is one, everywhere.
    """

    def __init__(
        self,
        network: VGG | ScheduledVGG,
        content: ContentTarget,
        style: StyleTarget,
        options: StylizeOptions,
        regions: Regions | None = None,
    ) -> None:
        self.scheduled = network if isinstance(network, ScheduledVGG) else ScheduledVGG(network)
        self.content, self.style, self.options, self.regions = content, style, options, regions
        self.recipe, self.comparison = RECIPES[options.recipe], comparison_of(options)
        self.layers = tuple(dict.fromkeys((*options.content_layers, *options.style_layers)))
        assert options.style_layer_weights is not None, "options must be resolved"
        self.layer_weights = dict(zip(options.style_layers, options.style_layer_weights, strict=True))
        self.content_magnitudes = {
            layer: target.square().flatten(1).mean(dim=1).clamp_min(SMALLEST_MAGNITUDE)
            for layer, target in content.items()
        }
        self.style_distances = {layer: self.comparison.distance_from(target) for layer, target in style.items()}

    def __call__(self, pastiche: Tensor) -> LossTerms:
        """Losses of pastiches in [0, 1], shape (N, 3, H, W), from one pass through the network; autograd may follow."""
        return self.of_features(self.scheduled.network(pastiche, self.layers, self.options.pooling), pastiche)

    def of_features(self, features: FeatureMaps, pastiche: Tensor) -> LossTerms:
        """Losses of pastiches whose features, of all layers of the options, are known already."""
        content = [self._content_term(layer, features[layer]) for layer in self.content]
        style = [self._style_term(layer, features[layer]) for layer in self.style]
        return self._sum(content, style, total_variation(pastiche))

    @torch.no_grad()
    def with_gradient(self, pastiche: Tensor) -> tuple[LossTerms, Tensor]:
        """The losses, and the gradient of each total with respect to its pastiche, shape (N, 3, H, W)."""
        content: list[Tensor] = []
        style: list[Tensor] = []
        slopes: dict[str, Tensor] = {}

        def read(layer: str, features: Tensor) -> None:
            if layer in self.content:
                content.append(self._content_term(layer, features))
            if layer in self.style:
                term, slopes[layer] = self._style_term_and_slope(layer, features)
                style.append(term)

        def add(layer: str, features: Tensor, gradient: Tensor | None) -> Tensor:
            if layer in self.style:
                gradient = self._pull_back(features, slopes.pop(layer), gradient)
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
        style = {layer: one if one.shape[0] == 1 else one[index] for layer, one in self.style.items()}
        regions = None if self.regions is None else self.regions.keep(index)
        return PerceptualLoss(self.scheduled, content, style, self.options, regions)

    def _matrices(self, features: Tensor) -> Tensor:
        return style_matrices(self.comparison, features, self.regions)

    def _sum(self, content: list[Tensor], style: list[Tensor], tv: Tensor) -> LossTerms:
        content_loss, style_loss = torch.stack(content).sum(dim=0), torch.stack(style).sum(dim=0)
        total = _weighted(self.options.content_weight, content_loss) + _weighted(self.options.style_weight, style_loss)
        return LossTerms(total + _weighted(self.options.tv_weight, tv), content_loss, style_loss, tv)

    def _content_term(self, layer: str, features: Tensor) -> Tensor:
        return self._content_scale(layer, features) * content_loss(features, self.content[layer])

    def _style_term(self, layer: str, features: Tensor) -> Tensor:
        distances = self.style_distances[layer](self._matrices(features))
        return (self._style_scale(layer, features) * distances).sum(dim=1)

    def _style_term_and_slope(self, layer: str, features: Tensor) -> tuple[Tensor, Tensor]:
        """The term, and d total / d matrices, symmetric, shape (N, R, K, K)."""
        distances, slopes = self.style_distances[layer].with_slope(self._matrices(features))
        scale = self._style_scale(layer, features)
        factor = _weighted(self.options.style_weight, scale)
        return (scale * distances).sum(dim=1), slopes * factor[:, :, None, None]

    def _content_gradient(self, layer: str, features: Tensor) -> Tensor:
        """D total / d features: of scale * mean((F - P)^2)."""
        factor = _weighted(self.options.content_weight, self._content_scale(layer, features)) * 2.0
        factor = factor / features[0].numel()
        return features.sub(self.content[layer]).mul_(factor.view(-1, 1, 1, 1)).to(features.dtype)

    def _pull_back(self, features: Tensor, slopes: Tensor, gradient: Tensor | None) -> Tensor:
        if self.regions is None:
            positions = features.shape[2] * features.shape[3]
            return self.comparison.pull_back(features, slopes[:, 0] / positions, gradient)
        maps = self.regions.at(*features.shape[2:])
        for region in range(maps.shape[1]):
            weights = maps[:, region : region + 1]
            gradient = self.comparison.pull_back(features, slopes[:, region], gradient, weights)
        assert gradient is not None, "there is a region"
        return gradient

    def _content_scale(self, layer: str, features: Tensor) -> Tensor:
        magnitude = self.content_magnitudes[layer]
        scale = self.recipe.content_scale(features.shape[1], features.shape[2] * features.shape[3], magnitude)
        return scale * torch.ones_like(magnitude)

    def _style_scale(self, layer: str, features: Tensor) -> Tensor:
        """Factor of each region's distance, shape (N, R)."""
        magnitude = self.style_distances[layer].magnitude.clamp_min(SMALLEST_MAGNITUDE)
        scale = self.recipe.style_scale(features.shape[1], features.shape[2] * features.shape[3], magnitude)
        shares = torch.ones_like(magnitude) if self.regions is None else self.regions.shares
        return self.layer_weights[layer] * scale * shares


def _weighted(weight: float | None, loss: Tensor) -> Tensor:
    assert weight is not None, "options must be resolved"
    return weight * loss
