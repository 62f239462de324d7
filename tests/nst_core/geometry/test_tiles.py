"""The positions that each tile of an image owns, and the pixels that it reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_core.geometry.tiles import Span, exact_tile_px, halo_of, halvings, stride_of, tiles_of
from nst_core.options.layers import layer_names

NAMES = layer_names("vgg19")
SIDE = st.integers(16, 700)
TILE = st.integers(1, 400)
DEPTH = st.sampled_from([name for name in NAMES if name.startswith("relu")])


def up_to(layer: str) -> tuple[str, ...]:
    return NAMES[: NAMES.index(layer) + 1]


@given(SIDE, TILE, DEPTH)
def test_tiles_own_every_position_once(side: int, tile_px: int, deepest: str) -> None:
    """At every layer, and for every side length, the tiles own all positions from the first to the last, each once."""
    names = up_to(deepest)
    spans = [tile.across for tile in tiles_of(20, side, names, tile_px) if tile.down.start == 0]

    for times in range(halvings(deepest) + 1):
        owned = [place for span in spans for place in range(side)[span.own(times)]]
        assert owned == list(range(side >> times))


@given(SIDE, TILE, DEPTH)
def test_inside_and_own_are_the_same_positions(side: int, tile_px: int, deepest: str) -> None:
    """The positions `inside` a tile's own map are those that it owns in the whole map."""
    for span in {tile.down for tile in tiles_of(side, 20, up_to(deepest), tile_px)}:
        for times in range(halvings(deepest) + 1):
            of_tile = range((span.last - span.first) >> times)[span.inside(times)]
            of_whole = range(side >> times)[span.own(times)]
            assert [place + (span.first >> times) for place in of_tile] == list(of_whole)


@given(SIDE, TILE, DEPTH)
def test_tiles_begin_at_strides_and_read_a_halo(side: int, tile_px: int, deepest: str) -> None:
    """Tile edges inside the image are multiples of the stride, and a tile reads one halo beyond what it owns."""
    names = up_to(deepest)
    stride, halo = stride_of(names), halo_of(names)

    for span in {tile.down for tile in tiles_of(side, 20, names, tile_px)}:
        assert all(edge % stride == 0 for edge in (span.first, span.start))
        assert all(edge % stride == 0 or edge == side for edge in (span.stop, span.last))
        assert span.first == max(0, span.start - halo)
        assert span.last == min(side, span.stop + halo)
        assert 0 < span.stop - span.start < tile_px + stride


def test_tiles_are_of_even_size() -> None:
    """A side is divided as evenly as the stride allows, so that no tile is a sliver with little but its halo."""
    spans = [tile.down for tile in tiles_of(1040, 16, up_to("relu5_1"), 1024)]

    assert [span.stop - span.start for span in spans] == [528, 512]


def test_no_tile_size_gives_one_tile() -> None:
    """Without a tile size, the whole image is one tile, which owns everything that it reads."""
    (tile,) = tiles_of(33, 47, up_to("relu5_1"), None)

    assert (tile.down, tile.across) == (Span(0, 0, 33, 33), Span(0, 0, 47, 47))


@pytest.mark.parametrize(
    ("deepest", "stride", "halo"), [("conv1_1", 1, 1), ("relu1_2", 1, 2), ("relu2_1", 2, 4), ("relu5_1", 16, 80)]
)
def test_the_halo_is_the_reach_of_the_deepest_layer(deepest: str, stride: int, halo: int) -> None:
    """Every convolution reaches one position further on each side; in pixels the sum is rounded up to the stride.

    For relu5_1 the sum is 70 pixels, and the halo 80.
    """
    assert (stride_of(up_to(deepest)), halo_of(up_to(deepest))) == (stride, halo)


def test_large_images_are_measured_in_tiles() -> None:
    """An image of at most 2048 x 2048 pixels is encoded and measured whole, a larger one in tiles of 1024 px."""
    assert [exact_tile_px(*size) for size in ((2048, 2048), (1024, 4096), (2048, 2049))] == [None, None, 1024]
