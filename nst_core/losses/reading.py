"""Accumulate feature statistics tile by tile: sums over positions, which add up to those of the whole image.

`read_in_tiles` passes the feature maps of each tile to readers; after the last tile their values are those of the whole
image.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import Tile, halvings, tiles_of
from nst_core.losses.content import content_loss
from nst_core.losses.regions import LayerWeights, Regions
from nst_core.losses.style import StyleComparison

ReadTile = Callable[[Tile, str, Tensor], None]
"""Callback that receives (tile, layer, the tile's features); keeps no reference to the features unless there is only
one tile."""


def read_in_tiles(
    network: VGG, image: Tensor, layers: Sequence[str], pooling: str, tile_px: int | None, read: ReadTile
) -> None:
    """Pass the features of images, shape (N, 3, H, W), at some layers to a reader; supports autograd.

    Raises:
        OptionsError: if the images are too small for a layer.
    """
    for tile in tiles_in(network, image, layers, tile_px):
        _read_tile(network, image, layers, pooling, tile, read)


def tiles_in(network: VGG, image: Tensor, layers: Sequence[str], tile_px: int | None) -> tuple[Tile, ...]:
    """Return the tiles in which a network processes images, shape (N, 3, H, W), up to the deepest of some layers.

    Raises:
        OptionsError: if the images are too small for a layer.
    """
    height, width = image.shape[2:]
    return tiles_of(height, width, network.layers[: network.deepest(layers, image) + 1], tile_px)


def _read_tile(network: VGG, image: Tensor, layers: Sequence[str], pooling: str, tile: Tile, read: ReadTile) -> None:
    # A separate function, so that the maps of one tile are freed before those of the next are computed.
    for layer, features in network(image[tile.seen], layers, pooling).items():
        read(tile, layer, features)


def fan_out(*readers: ReadTile) -> ReadTile:
    """Return a reader that passes everything it receives to each of several readers."""

    def read(tile: Tile, layer: str, features: Tensor) -> None:
        for reader in readers:
            reader(tile, layer, features)

    return read


class Places:
    """The positions over which styles are summed: all of them, or those of one region after the other.

    Args:
        image: any tensor of the images' size, shape (N, 3, H, W).
        regions: the maps of the regions; None means one region, everywhere.
    """

    def __init__(self, image: Tensor, regions: Regions | None) -> None:
        self.height, self.width = image.shape[2:]
        self.regions = regions

    def positions(self, layer: str) -> int:
        """Return the number of positions in a layer's map of the whole image."""
        return (self.height >> halvings(layer)) * (self.width >> halvings(layer))

    def divisor(self, layer: str) -> Tensor | int:
        """Return what sums over positions, shape (N, R, K, K), are divided by to give averages over each region."""
        if self.regions is None:
            return self.positions(layer)
        return self._weights(self.regions, layer).square_sums[:, :, None, None]

    def weights(self, tile: Tile, layer: str) -> list[Tensor | None]:
        """Return the weight of each of a tile's own positions in each region, shape (N, 1, h, w); None means 1."""
        if self.regions is None:
            return [None]
        maps = self._weights(self.regions, layer).maps[tile.own(layer)]
        return [one[:, None] for one in maps.unbind(dim=1)]

    def _weights(self, regions: Regions, layer: str) -> LayerWeights:
        return regions.at(self.height >> halvings(layer), self.width >> halvings(layer))


class StyleReader:
    """Accumulates the style matrices of images, tile by tile."""

    def __init__(self, comparison: StyleComparison, layers: Sequence[str], places: Places) -> None:
        self.comparison, self.layers, self.places = comparison, layers, places
        self._sums: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Add the contribution of the positions that a tile owns."""
        if layer not in self.layers:
            return
        own = features[tile.inside(layer)]
        if own.numel() == 0:
            return
        weights = self.places.weights(tile, layer)
        sums = torch.stack([self.comparison.sums(own, of_region) for of_region in weights], dim=1)
        self._sums[layer] = self._sums[layer] + sums if layer in self._sums else sums

    def matrices(self) -> dict[str, Tensor]:
        """Return the matrices by layer, averaged over the positions of each region, shape (N, R, K, K)."""
        return {layer: self._sums[layer] / self.places.divisor(layer) for layer in self.layers}


class ContentReader:
    """Accumulates the distances of images from a content target, tile by tile.

    Args:
        target: the content target by layer, shape (N, C, H, W).
        weights: weights of the positions by layer, shape (N, 1, H, W); a missing layer has weight 1.
    """

    def __init__(self, target: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
        self.target, self.weights = target, weights
        self.distances: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Add the distance of the positions that a tile owns, in proportion to their share of the whole."""
        if layer not in self.target:
            return
        own, target = features[tile.inside(layer)], self.target[layer]
        if own.numel() == 0:
            return
        share = own[0].numel() / target[0].numel()
        weights = self.weights[layer][tile.own(layer)] if layer in self.weights else None
        distance = content_loss(own, target[tile.own(layer)], weights) * share
        self.distances[layer] = self.distances[layer] + distance if layer in self.distances else distance


class FeatureReader:
    """Assembles the feature maps themselves, tile by tile."""

    def __init__(self, layers: Sequence[str], image: Tensor) -> None:
        self.layers = layers
        self.height, self.width = image.shape[2:]
        self._maps: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Copy the features of the positions that a tile owns."""
        if layer not in self.layers:
            return
        shape = *features.shape[:2], self.height >> halvings(layer), self.width >> halvings(layer)
        if features.shape == shape:
            self._maps[layer] = features
            return
        if layer not in self._maps:
            self._maps[layer] = features.new_empty(shape)
        self._maps[layer][tile.own(layer)] = features[tile.inside(layer)]

    def maps(self) -> dict[str, Tensor]:
        """Return the maps by layer, in the requested order."""
        return {layer: self._maps[layer] for layer in self.layers}
