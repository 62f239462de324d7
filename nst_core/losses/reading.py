"""What losses have to know of feature maps, read tile by tile: sums over positions, which add up to the picture's.

`read_in_tiles` shows the maps of each tile to readers, whose values are those of the whole picture in the end.
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
"""(tile, layer, the tile's features) -> nothing; keeps no reference to features, unless the tile is all there is."""


def read_in_tiles(
    network: VGG, image: Tensor, layers: Sequence[str], pooling: str, tile_px: int | None, read: ReadTile
) -> None:
    """Show the features of images, shape (N, 3, H, W), at some layers; autograd may follow.

    Raises:
        OptionsError: if the images are too small for a layer.
    """
    for tile in tiles_in(network, image, layers, tile_px):
        _read_tile(network, image, layers, pooling, tile, read)


def tiles_in(network: VGG, image: Tensor, layers: Sequence[str], tile_px: int | None) -> tuple[Tile, ...]:
    """The tiles in which images, shape (N, 3, H, W), are shown to a network as far as some layers.

    Raises:
        OptionsError: if the images are too small for a layer.
    """
    height, width = image.shape[2:]
    return tiles_of(height, width, network.layers[: network.deepest(layers, image) + 1], tile_px)


def _read_tile(network: VGG, image: Tensor, layers: Sequence[str], pooling: str, tile: Tile, read: ReadTile) -> None:
    # A function of its own, so that the maps of one tile are gone before those of the next are made.
    for layer, features in network(image[tile.seen], layers, pooling).items():
        read(tile, layer, features)


def shown_to(*readers: ReadTile) -> ReadTile:
    """A reader that hands whatever it is shown to each of some readers."""

    def read(tile: Tile, layer: str, features: Tensor) -> None:
        for reader in readers:
            reader(tile, layer, features)

    return read


class Places:
    """Where in images styles are summed up: everywhere, or in one region after the other.

    Args:
        image: any of these images' size, shape (N, 3, H, W).
        regions: None is everywhere.
    """

    def __init__(self, image: Tensor, regions: Regions | None) -> None:
        self.height, self.width = image.shape[2:]
        self.regions = regions

    def positions(self, layer: str) -> int:
        """How many there are in a layer's map of the whole picture."""
        return (self.height >> halvings(layer)) * (self.width >> halvings(layer))

    def divisor(self, layer: str) -> Tensor | int:
        """What sums over positions, shape (N, R, K, K), are divided by to be averages over each region."""
        if self.regions is None:
            return self.positions(layer)
        return self._weights(self.regions, layer).square_sums[:, :, None, None]

    def weights(self, tile: Tile, layer: str) -> list[Tensor | None]:
        """How much each of a tile's own positions counts in each region, shape (N, 1, h, w); None is 1."""
        if self.regions is None:
            return [None]
        maps = self._weights(self.regions, layer).maps[tile.own(layer)]
        return [one[:, None] for one in maps.unbind(dim=1)]

    def _weights(self, regions: Regions, layer: str) -> LayerWeights:
        return regions.at(self.height >> halvings(layer), self.width >> halvings(layer))


class StyleReader:
    """Adds up the styles of images, tile by tile."""

    def __init__(self, comparison: StyleComparison, layers: Sequence[str], places: Places) -> None:
        self.comparison, self.layers, self.places = comparison, layers, places
        self._sums: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Add up what a tile owns."""
        if layer not in self.layers:
            return
        own = features[tile.inside(layer)]
        if own.numel() == 0:
            return
        weights = self.places.weights(tile, layer)
        sums = torch.stack([self.comparison.sums(own, of_region) for of_region in weights], dim=1)
        self._sums[layer] = self._sums[layer] + sums if layer in self._sums else sums

    def matrices(self) -> dict[str, Tensor]:
        """Averaged over the positions of each region, by layer, shape (N, R, K, K)."""
        return {layer: self._sums[layer] / self.places.divisor(layer) for layer in self.layers}


class ContentReader:
    """Adds up the distances of images from a content target, tile by tile.

    Args:
        target: by layer, shape (N, C, H, W).
        weights: of the positions, by layer, shape (N, 1, H, W); none is 1.
    """

    def __init__(self, target: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
        self.target, self.weights = target, weights
        self.distances: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Add up what a tile owns, as a share of the whole."""
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
    """Puts the maps themselves together, tile by tile."""

    def __init__(self, layers: Sequence[str], image: Tensor) -> None:
        self.layers = layers
        self.height, self.width = image.shape[2:]
        self._maps: dict[str, Tensor] = {}

    def read(self, tile: Tile, layer: str, features: Tensor) -> None:
        """Take over what a tile owns."""
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
        """By layer, in the order asked for."""
        return {layer: self._maps[layer] for layer in self.layers}
