"""The weighted sum of all losses of a batch, and its gradient, from a single pass through the network.

    total = content_weight * content + style_weight * style + tv_weight * tv

The recipes' formulas are in `nst_core.options.recipes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nst_core.backbones.scheduled import Pass, ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import Tile
from nst_core.losses.reading import (
    ContentReader,
    Places,
    ReadTile,
    StyleReader,
    fan_out,
    read_in_tiles,
    tiles_in,
)
from nst_core.losses.regions import Regions
from nst_core.losses.targets import ContentTarget, StyleTarget, comparison_of, layers_of
from nst_core.losses.total_variation import total_variation, total_variation_gradient
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

SMALLEST_MAGNITUDE = 1e-12
"""Minimum divisor: a target of smaller magnitude is all zeros, and dividing by it would give infinity."""

MEAN_AT_ONCE = 1 << 25
"""Largest number of content target features squared at once: those of 2048 x 2048 px at relu4_2."""


@dataclass(frozen=True)
class LossTerms:
    """The losses of a batch, each of shape (N,): the weighted total and the unweighted parts."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor

    def values(self) -> list[LossValues]:
        """Return one set of plain numbers per pastiche, in a single transfer from the device."""
        rows = torch.stack([self.total, self.content, self.style, self.tv], dim=1).detach().tolist()
        return [LossValues(*row) for row in rows]


@dataclass(frozen=True)
class _StyleGradients:
    """The gradient of the total with respect to the style sums of each layer.

    Attributes:
        of_sums: by style layer, symmetric, shape (N, R, K, K).
        places: the positions of the pastiches over which the sums are taken.
    """

    of_sums: dict[str, Tensor]
    places: Places


class PerceptualLoss:
    """The losses of a batch of pastiches against their targets.

    Evaluating it in tiles gives the same values, because it depends on the features only through sums over positions. A
    first pass adds these sums up over the tiles; once the gradients of the losses with respect to the sums are known, a
    second pass backpropagates every tile to its pixels, through the tile's own positions only, and adds the results up
    where halos overlap.

    Args:
        options: resolved options, shared by the batch.
        content: content targets of shape (N, ...).
        style: style targets of shape (N, R, K, K), or (1, R, K, K) for one style shared by all.
        regions: the maps of the R regions in the pastiches; None for a single region, everywhere.
        tile_px: side of the tiles in which pastiches are evaluated; None evaluates them in one piece.
    """

    def __init__(
        self,
        network: VGG | ScheduledVGG,
        content: ContentTarget,
        style: StyleTarget,
        options: StylizeOptions,
        regions: Regions | None = None,
        tile_px: int | None = None,
    ) -> None:
        self.scheduled = network if isinstance(network, ScheduledVGG) else ScheduledVGG(network)
        self.content, self.style, self.options, self.regions = content, style, options, regions
        self.recipe, self.comparison, self.tile_px = RECIPES[options.recipe], comparison_of(options), tile_px
        self.layers = layers_of(options)
        assert options.style_layer_weights is not None, "options must be resolved"
        self.layer_weights = dict(zip(options.style_layers, options.style_layer_weights, strict=True))
        self.content_weights = {
            layer: regions.of_content(*target.shape[2:]) for layer, target in content.items() if regions is not None
        }
        self.content_scales = {layer: self._content_scale(layer) for layer in content}
        self.style_distances = {layer: self.comparison.distance_from(target) for layer, target in style.items()}
        self._style_scales: dict[tuple[str, int], Tensor] = {}

    def __call__(self, pastiche: Tensor) -> LossTerms:
        """Compute the losses of pastiches in [0, 1], shape (N, 3, H, W), in one forward pass; supports autograd."""
        content, style = self._readers(pastiche)
        read = fan_out(content.read, style.read)
        read_in_tiles(self.scheduled.network, pastiche, self.layers, self.options.pooling, self.tile_px, read)
        return self._terms(content.distances, self._style_distances(style.matrices()), pastiche)

    def of_contents(self, contents: Tensor, matrices: StyleTarget) -> LossTerms:
        """Compute the losses of pastiches that equal the contents, given their style matrices, without any pass."""
        nothing = {layer: torch.zeros_like(scale) for layer, scale in self.content_scales.items()}
        return self._terms(nothing, self._style_distances(matrices), contents)

    @torch.no_grad()
    def with_gradient(self, pastiche: Tensor) -> tuple[LossTerms, Tensor]:
        """Compute the losses, and the gradient of each total with respect to its pastiche, shape (N, 3, H, W)."""
        content, style = self._readers(pastiche)
        read = fan_out(content.read, style.read)
        *others, last = tiles_in(self.scheduled.network, pastiche, self.layers, self.tile_px)
        for tile in others:
            self._forward(tile, pastiche, read)
        ran = self._forward(last, pastiche, read)
        distances, of_styles = self._style_distances_and_gradients(style)
        gradient = torch.zeros_like(pastiche)
        # The last tile reuses the forward pass just made, so that an untiled image takes a single pass.
        gradient[last.seen].add_(ran.backward(partial(self._add, last, of_styles)))
        for tile in others:
            ran = self._forward(tile, pastiche, _read_nothing)
            gradient[tile.seen].add_(ran.backward(partial(self._add, tile, of_styles)))
        if self.options.tv_weight:
            gradient.add_(total_variation_gradient(pastiche), alpha=self.options.tv_weight)
        return self._terms(content.distances, distances, pastiche), gradient

    def keep(self, index: Tensor) -> "PerceptualLoss":
        """Return the loss of some of the batch's pastiches, in the order of `index`."""
        if len(index) == 1 and all(len(target) == 1 for target in self.content.values()):
            return self
        content = {layer: target[index] for layer, target in self.content.items()}
        style = {layer: one if one.shape[0] == 1 else one[index] for layer, one in self.style.items()}
        regions = None if self.regions is None else self.regions.keep(index)
        return PerceptualLoss(self.scheduled, content, style, self.options, regions, self.tile_px)

    def _readers(self, pastiche: Tensor) -> tuple[ContentReader, StyleReader]:
        style = StyleReader(self.comparison, self.options.style_layers, Places(pastiche, self.regions))
        return ContentReader(self.content, self.content_weights), style

    def _forward(self, tile: Tile, pastiche: Tensor, read: ReadTile) -> Pass:
        return self.scheduled.forward(pastiche[tile.seen], self.layers, self.options.pooling, partial(read, tile))

    def _style_distances(self, matrices: StyleTarget) -> dict[str, Tensor]:
        return {layer: self.style_distances[layer](matrix) for layer, matrix in matrices.items()}

    def _style_distances_and_gradients(self, style: StyleReader) -> tuple[dict[str, Tensor], _StyleGradients]:
        results = {
            layer: self.style_distances[layer].with_gradient(matrix) for layer, matrix in style.matrices().items()
        }
        of_sums = {}
        for layer, (_, of_matrix) in results.items():
            factor = _weighted(self.options.style_weight, self._style_scale(layer, style.places))
            of_sums[layer] = of_matrix * factor[:, :, None, None] / style.places.divisor(layer)
        return {layer: distance for layer, (distance, _) in results.items()}, _StyleGradients(of_sums, style.places)

    def _terms(self, content: Mapping[str, Tensor], style: Mapping[str, Tensor], pastiche: Tensor) -> LossTerms:
        """Combine the layers' distances, of shapes (N,) for content and (N, R) for style, into losses."""
        places = Places(pastiche, self.regions)
        content_terms = [scale * content[layer] for layer, scale in self.content_scales.items()]
        style_terms = [(self._style_scale(layer, places) * style[layer]).sum(dim=1) for layer in self.style]
        content_loss, style_loss = torch.stack(content_terms).sum(dim=0), torch.stack(style_terms).sum(dim=0)
        tv = total_variation(pastiche)
        total = _weighted(self.options.content_weight, content_loss) + _weighted(self.options.style_weight, style_loss)
        return LossTerms(total + _weighted(self.options.tv_weight, tv), content_loss, style_loss, tv)

    def _add(
        self, tile: Tile, of_styles: _StyleGradients, layer: str, features: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """Add the losses' own gradient at the tile's own positions, as an `AddGradient` of `scheduled`."""
        inside = tile.inside(layer)
        own = features[inside]
        if own.shape == features.shape:
            return self._add_to_own(tile, of_styles, layer, features, gradient)
        whole = torch.zeros_like(features) if gradient is None else gradient
        if own.numel():
            before = None if gradient is None else gradient[inside]
            whole[inside] = self._add_to_own(tile, of_styles, layer, own, before)
        return whole

    def _add_to_own(
        self, tile: Tile, of_styles: _StyleGradients, layer: str, own: Tensor, gradient: Tensor | None
    ) -> Tensor:
        if layer in self.style:
            for region, weights in enumerate(of_styles.places.weights(tile, layer)):
                of_sums = of_styles.of_sums[layer][:, region]
                gradient = self.comparison.pull_back(own, of_sums, gradient, weights)
        if layer in self.content:
            of_content = self._content_gradient(tile, layer, own)
            gradient = of_content if gradient is None else gradient.add_(of_content)
        assert gradient is not None, "every layer that is read has a loss"
        return gradient

    def _content_gradient(self, tile: Tile, layer: str, own: Tensor) -> Tensor:
        """Return the gradient of the total with respect to the features: that of scale * mean(w (F - P)^2)."""
        target, place = self.content[layer], tile.own(layer)
        factor = _weighted(self.options.content_weight, self.content_scales[layer]) * 2.0 / target[0].numel()
        gradient = own.sub(target[place]).mul_(factor.view(-1, 1, 1, 1))
        if layer in self.content_weights:
            gradient.mul_(self.content_weights[layer][place])
        return gradient.to(own.dtype)

    def _content_scale(self, layer: str) -> Tensor:
        target = self.content[layer]
        channels, height, width = target.shape[1:]
        magnitude = _mean_square(target, self.content_weights.get(layer)).clamp_min(SMALLEST_MAGNITUDE)
        return self.recipe.content_scale(channels, height * width, magnitude) * torch.ones_like(magnitude)

    def _style_scale(self, layer: str, places: Places) -> Tensor:
        """Return the factor of each region's distance, shape (N, R), cached per image size."""
        size = layer, places.positions(layer)
        if size not in self._style_scales:
            self._style_scales[size] = self._new_style_scale(*size)
        return self._style_scales[size]

    def _new_style_scale(self, layer: str, positions: int) -> Tensor:
        magnitude = self.style_distances[layer].magnitude.clamp_min(SMALLEST_MAGNITUDE)
        channels = self.scheduled.convolutions[layer.replace("relu", "conv")].weight.shape[0]
        scale = self.recipe.style_scale(channels, positions, magnitude)
        shares = torch.ones_like(magnitude) if self.regions is None else self.regions.shares
        return self.layer_weights[layer] * scale * shares


def _read_nothing(tile: Tile, layer: str, features: Tensor) -> None:
    """Ignore the features of a forward pass that is made only for its gradient."""


def _mean_square(target: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean square of features (N, C, H, W), weighted by position with (N, 1, H, W): shape (N,)."""

    def mean(features: Tensor) -> Tensor:
        square = features.square()
        return (square if weights is None else square * weights).flatten(1).mean(dim=1)

    if target.shape[1:].numel() <= MEAN_AT_ONCE:
        return mean(target)
    return torch.stack([mean(target[:, channel : channel + 1]) for channel in range(target.shape[1])]).mean(dim=0)


def _weighted(weight: float | None, loss: Tensor) -> Tensor:
    assert weight is not None, "options must be resolved"
    return weight * loss
