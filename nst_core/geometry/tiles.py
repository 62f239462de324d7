"""Tiles of an image, in integers: the positions of every layer that each tile owns, and the pixels it reads. No torch.

A tile begins at a multiple of the deepest layer's stride, so that its pooling windows coincide with those of the whole
image. Around its own pixels it reads a halo as wide as the receptive field of the deepest layer, so that its own
positions have their complete inputs and the zero padding around a tile affects none of them. At the image's border
there is no halo, and the padding is that of the whole image. A position of a layer belongs to the tile that owns its
first pixel, so that every position belongs to exactly one tile; of an odd side, pooling drops the same pixels as in the
whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

Cut = tuple[EllipsisType, slice, slice]
"""Index of the rows and columns of a map of shape (..., H, W)."""

EXACT_PIXELS = 2048 * 2048
"""Larger images are encoded and measured in tiles regardless of free memory; these are a few passes out of many."""

EXACT_TILE_PX = 1024


@dataclass(frozen=True)
class Span:
    """A tile's extent along one side: it owns the pixels from `start` to `stop`, and reads from `first` to `last`."""

    first: int
    start: int
    stop: int
    last: int

    def own(self, halvings: int) -> slice:
        """Return the slice of its positions in the whole map of a layer."""
        return slice(self.start >> halvings, self.stop >> halvings)

    def inside(self, halvings: int) -> slice:
        """Return the slice of the same positions in the tile's own map of that layer."""
        before = self.first >> halvings
        return slice((self.start >> halvings) - before, (self.stop >> halvings) - before)


@dataclass(frozen=True)
class Tile:
    """A rectangular part of an image."""

    down: Span
    across: Span

    @property
    def seen(self) -> Cut:
        """The index, in the image, of its own pixels and the halo."""
        return ..., slice(self.down.first, self.down.last), slice(self.across.first, self.across.last)

    def own(self, layer: str) -> Cut:
        """Return the index of its positions in the whole map of a layer."""
        return ..., self.down.own(halvings(layer)), self.across.own(halvings(layer))

    def inside(self, layer: str) -> Cut:
        """Return the index of the same positions in the tile's own map of that layer."""
        return ..., self.down.inside(halvings(layer)), self.across.inside(halvings(layer))


def tiles_of(height: int, width: int, names: Sequence[str], tile_px: int | None) -> tuple[Tile, ...]:
    """Return the tiles that make up an image; none owns more than about `tile_px` per side.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        names: the names of all layers that run, the deepest last.
        tile_px: side of a tile, rounded up to the stride; None returns a single tile.
    """
    if tile_px is None:
        return (Tile(_whole(height), _whole(width)),)
    stride, halo = stride_of(names), halo_of(names)
    rows, columns = (_spans(side, tile_px, stride, halo) for side in (height, width))
    return tuple(Tile(down, across) for down in rows for across in columns)


def exact_tile_px(height: int, width: int) -> int | None:
    """Return the side of the tiles in which an image is encoded and measured; None means in one piece.

    >>> exact_tile_px(2048, 2048), exact_tile_px(6144, 8192)
    (None, 1024)
    """
    return None if height * width <= EXACT_PIXELS else EXACT_TILE_PX


def halvings(layer: str) -> int:
    """Return how often the image's sides are halved before a layer.

    >>> halvings("relu1_1"), halvings("conv5_1")
    (0, 4)
    """
    return int(layer[4]) - 1


def stride_of(names: Sequence[str]) -> int:
    """Return the stride in pixels of the last of some consecutive layers.

    >>> stride_of(("conv1_1", "relu1_1", "pool1", "conv2_1"))
    2
    """
    return 1 << sum(name.startswith("pool") for name in names)


def halo_of(names: Sequence[str]) -> int:
    """Return how far the last of some layers sees around a position, in pixels, rounded up to its stride.

    Each convolution sees one position more on every side.

    >>> halo_of(("conv1_1", "relu1_1", "pool1", "conv2_1"))
    4
    """
    stride = stride_of(names)
    reach = sum(1 << halvings(name) for name in names if name.startswith("conv"))
    return -(-reach // stride) * stride


def _whole(side: int) -> Span:
    return Span(0, 0, side, side)


def _spans(side: int, tile_px: int, stride: int, halo: int) -> tuple[Span, ...]:
    """Divide a side into spans whose sizes are as even as the stride allows."""
    count = -(-side // tile_px)
    step = -(-side // (count * stride)) * stride
    return tuple(
        Span(max(0, start - halo), start, min(start + step, side), min(start + step + halo, side))
        for start in range(0, side, step)
    )
