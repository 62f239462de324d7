"""tiles: what a part of a picture owns and sees, in integers."""

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
def test_own_positions_are_all_positions_once(side: int, tile_px: int, deepest: str) -> None:
    """At every layer, and of every side, the tiles' own positions follow one another, from the first to the last."""
    names = up_to(deepest)
    spans = [tile.across for tile in tiles_of(20, side, names, tile_px) if tile.down.start == 0]

    for times in range(halvings(deepest) + 1):
        owned = [place for span in spans for place in range(side)[span.own(times)]]
        assert owned == list(range(side >> times))


@given(SIDE, TILE, DEPTH)
def test_a_tile_finds_its_own_positions_in_its_maps(side: int, tile_px: int, deepest: str) -> None:
    """What lies inside a tile's map, counted from where the tile begins to see, is what it owns of the whole map."""
    for span in {tile.down for tile in tiles_of(side, 20, up_to(deepest), tile_px)}:
        for times in range(halvings(deepest) + 1):
            of_tile = range((span.last - span.first) >> times)[span.inside(times)]
            of_whole = range(side >> times)[span.own(times)]
            assert [place + (span.first >> times) for place in of_tile] == list(of_whole)


@given(SIDE, TILE, DEPTH)
def test_tiles_begin_at_strides_and_see_a_halo(side: int, tile_px: int, deepest: str) -> None:
    """Every edge but the picture's own is a multiple of the stride, and a halo away from what the tile owns."""
    names = up_to(deepest)
    stride, halo = stride_of(names), halo_of(names)

    for span in {tile.down for tile in tiles_of(side, 20, names, tile_px)}:
        assert all(edge % stride == 0 for edge in (span.first, span.start))
        assert all(edge % stride == 0 or edge == side for edge in (span.stop, span.last))
        assert span.first == max(0, span.start - halo)
        assert span.last == min(side, span.stop + halo)
        assert 0 < span.stop - span.start < tile_px + stride


def test_tiles_are_of_even_size() -> None:
    """No tile is a sliver that is all halo: a side is cut as evenly as the stride allows."""
    spans = [tile.down for tile in tiles_of(1040, 16, up_to("relu5_1"), 1024)]

    assert [span.stop - span.start for span in spans] == [528, 512]


def test_no_tiles_are_one_tile() -> None:
    """Without a tile size the whole is one tile that owns all it sees."""
    (tile,) = tiles_of(33, 47, up_to("relu5_1"), None)

    assert (tile.down, tile.across) == (Span(0, 0, 33, 33), Span(0, 0, 47, 47))


@pytest.mark.parametrize(
    ("deepest", "stride", "halo"), [("conv1_1", 1, 1), ("relu1_2", 1, 2), ("relu2_1", 2, 4), ("relu5_1", 16, 80)]
)
def test_the_halo_is_what_the_deepest_layer_sees(deepest: str, stride: int, halo: int) -> None:
    """One position of each convolution's layer on every side, in pixels, rounded up to the stride: 70 for relu5_1."""
    assert (stride_of(up_to(deepest)), halo_of(up_to(deepest))) == (stride, halo)


def test_large_pictures_are_measured_in_tiles() -> None:
    """Up to the pixels of a square of 2048 px a picture is encoded and measured whole."""
    assert [exact_tile_px(*size) for size in ((2048, 2048), (1024, 4096), (2048, 2049))] == [None, None, 1024]
