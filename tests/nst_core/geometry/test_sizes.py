"""The integer arithmetic of image sizes."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_core.geometry.sizes import fit_long_edge, pastiche_size, smallest_side, style_size
from nst_core.options.layers import FEATURE_LAYERS

SIDE = st.integers(1, 40_000)


@pytest.mark.parametrize(
    ("width", "height", "long_edge", "expected"),
    [
        (640, 427, 512, (512, 342)),  # 341.6
        (427, 640, 512, (342, 512)),
        (512, 512, 512, (512, 512)),
        (100, 100, 7, (7, 7)),
        (4, 2, 5, (5, 3)),  # 2.5 goes up
        (4, 6, 5, (3, 5)),  # 3.33
        (10_000, 1, 512, (512, 1)),  # 0.05, but a side is at least 1
        (1, 1, 300, (300, 300)),
    ],
)
def test_fit_long_edge_by_hand(width: int, height: int, long_edge: int, expected: tuple[int, int]) -> None:
    """The longer side gets the requested length; the other is rounded, halves up, and is never 0."""
    assert fit_long_edge(width, height, long_edge) == expected


@given(SIDE, SIDE, st.integers(1, 8192))
def test_fit_long_edge_keeps_the_aspect_ratio(width: int, height: int, long_edge: int) -> None:
    """The longer side is exact, and the shorter one is 1 or within half a pixel of the true ratio."""
    found = fit_long_edge(width, height, long_edge)
    short = Fraction(min(width, height) * long_edge, max(width, height))

    assert max(found) == long_edge
    assert (width < height) == (found[0] < found[1]) or found[0] == found[1]
    assert min(found) == 1 or abs(min(found) - short) <= Fraction(1, 2)


@given(SIDE, SIDE, st.integers(16, 8192))
def test_fit_long_edge_turns_with_the_image(width: int, height: int, long_edge: int) -> None:
    """An image turned by 90 degrees gets the same size with its sides swapped."""
    assert fit_long_edge(height, width, long_edge) == fit_long_edge(width, height, long_edge)[::-1]


@given(SIDE, SIDE)
def test_fit_long_edge_to_its_own_length_changes_nothing(width: int, height: int) -> None:
    """An image whose long edge already has the requested length keeps its size."""
    assert fit_long_edge(width, height, max(width, height)) == (width, height)


@pytest.mark.parametrize(
    ("width", "height", "enlarge", "expected"),
    [
        (300, 200, False, (300, 200)),
        (300, 200, True, (512, 341)),
        (512, 100, False, (512, 100)),
        (512, 100, True, (512, 100)),
        (1024, 600, False, (512, 300)),
        (1024, 600, True, (512, 300)),
        (600, 1024, False, (300, 512)),
    ],
)
def test_pastiche_size(width: int, height: int, enlarge: bool, expected: tuple[int, int]) -> None:
    """A larger content image is always reduced; a smaller one is enlarged only if requested."""
    assert pastiche_size(width, height, 512, enlarge=enlarge) == expected


@pytest.mark.parametrize(
    ("style", "pastiche", "scale", "expected"),
    [
        ((1000, 500), (512, 300), 0.5, (256, 128)),
        ((500, 1000), (512, 300), 1.0, (256, 512)),
        ((100, 50), (512, 300), 1.0, (512, 256)),  # small styles are enlarged
        ((100, 50), (300, 512), 2.0, (1024, 512)),
        ((50, 50), (16, 16), 0.1, (2, 2)),  # 1.6
    ],
)
def test_style_size(style: tuple[int, int], pastiche: tuple[int, int], scale: float, expected: tuple[int, int]) -> None:
    """The style image's long edge is `style_scale` times the pastiche's, whatever its own size; its ratio is kept."""
    assert style_size(*style, pastiche, scale) == expected


@given(SIDE, SIDE, st.integers(1, 8192), st.floats(0.1, 4.0))
def test_style_size_is_at_least_one_pixel(width: int, height: int, long_edge: int, scale: float) -> None:
    """A style image has at least one pixel in each direction at every scale."""
    assert min(style_size(width, height, (long_edge, 1), scale)) >= 1


@pytest.mark.parametrize("layer", FEATURE_LAYERS)
def test_smallest_side_leaves_one_position(layer: str) -> None:
    """Halved once per pool before the layer, the smallest side leaves one position; one pixel less leaves none."""
    needed = smallest_side(layer)

    assert needed >> (int(layer[4]) - 1) == 1
    assert (needed - 1) >> (int(layer[4]) - 1) == 0
