"""Tiles of a picture, in integers: which positions of every layer each owns, and what it has to see. No torch.

A tile begins at a multiple of the deepest layer's stride, so that its poolings fall where those of the whole picture
do. Around its own pixels it sees a halo as wide as the receptive field of the deepest layer: what its own positions are
made of is then all there, and the zeros that convolutions put around a tile reach none of them. At the picture's border
there is no halo, and the zeros are those of the whole. A position of a layer belongs to the tile that owns its first
pixel, so that each is one tile's alone; of an odd side pooling leaves out the same pixels as in the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

Cut = tuple[EllipsisType, slice, slice]
"""Indexes the rows and columns of a map of shape (..., H, W)."""

EXACT_PIXELS = 2048 * 2048
"""A picture of more is encoded and measured in tiles, whatever memory there is: that is a few passes out of many."""

EXACT_TILE_PX = 1024


@dataclass(frozen=True)
class Span:
    """A tile along one side of the picture: it owns the pixels from `start` to `stop`, and sees `first` to `last`."""

    first: int
    start: int
    stop: int
    last: int

    def own(self, halvings: int) -> slice:
        """Its positions in the whole map of a layer."""
        return slice(self.start >> halvings, self.stop >> halvings)

    def inside(self, halvings: int) -> slice:
        """The same positions in the map that the tile has of that layer."""
        before = self.first >> halvings
        return slice((self.start >> halvings) - before, (self.stop >> halvings) - before)


@dataclass(frozen=True)
class Tile:
    """A part of a picture."""

    down: Span
    across: Span

    @property
    def seen(self) -> Cut:
        """Its pixels and the halo's, in the picture."""
        return ..., slice(self.down.first, self.down.last), slice(self.across.first, self.across.last)

    def own(self, layer: str) -> Cut:
        """Its positions in the whole map of a layer."""
        return ..., self.down.own(halvings(layer)), self.across.own(halvings(layer))

    def inside(self, layer: str) -> Cut:
        """The same positions in the map that the tile has of that layer."""
        return ..., self.down.inside(halvings(layer)), self.across.inside(halvings(layer))


def tiles_of(height: int, width: int, names: Sequence[str], tile_px: int | None) -> tuple[Tile, ...]:
    """The tiles that make up a picture, none owning more than about `tile_px` a side; None is one tile.

    Args:
        height: of the picture.
        width: of the picture.
        names: of all layers that run, the deepest last.
        tile_px: rounded up to the stride.
    """
    if tile_px is None:
        return (Tile(_whole(height), _whole(width)),)
    stride, halo = stride_of(names), halo_of(names)
    rows, columns = (_spans(side, tile_px, stride, halo) for side in (height, width))
    return tuple(Tile(down, across) for down in rows for across in columns)


def exact_tile_px(height: int, width: int) -> int | None:
    """The tiles that a picture is encoded and measured in; None is in one piece.

    >>> exact_tile_px(2048, 2048), exact_tile_px(6144, 8192)
    (None, 1024)
    """
    return None if height * width <= EXACT_PIXELS else EXACT_TILE_PX


def halvings(layer: str) -> int:
    """How often the picture's sides are halved before a layer.

    >>> halvings("relu1_1"), halvings("conv5_1")
    (0, 4)
    """
    return int(layer[4]) - 1


def stride_of(names: Sequence[str]) -> int:
    """Pixels between two positions of the last of some layers, which run one after the other.

    >>> stride_of(("conv1_1", "relu1_1", "pool1", "conv2_1"))
    2
    """
    return 1 << sum(name.startswith("pool") for name in names)


def halo_of(names: Sequence[str]) -> int:
    """How far the last of some layers sees around a position, in pixels, rounded up to its stride.

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
    """Of sizes as even as the stride allows."""
    count = -(-side // tile_px)
    step = -(-side // (count * stride)) * stride
    return tuple(
        Span(max(0, start - halo), start, min(start + step, side), min(start + step + halo, side))
        for start in range(0, side, step)
    )
