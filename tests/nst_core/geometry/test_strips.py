"""Processing of an image a few rows at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nst_core.geometry import strips
from nst_core.geometry.strips import by_strips


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 400))
def test_strips_cover_every_row_once(height: int, width: int, pixels: int) -> None:
    """Strips cover the rows from the first to the last once, and have at most the allowed pixels, or a single row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "STRIP_PIXELS", pixels)
        found = strips.strips(height, width)

    assert [row for rows in found for row in range(height)[rows]] == list(range(height))
    assert all((rows.stop - rows.start) * width <= max(pixels, width) for rows in found)


@pytest.mark.parametrize("in_place", [False, True])
def test_by_strips_equals_the_whole_image(monkeypatch: pytest.MonkeyPatch, in_place: bool) -> None:
    """Work done strip by strip equals that on the whole image but for rounding, in new memory or in place."""
    one, other = torch.rand(2, 3, 13, 5), torch.rand(2, 1, 13, 5)
    whole = (one * other).sigmoid()
    monkeypatch.setattr(strips, "STRIP_PIXELS", 20)
    out = one if in_place else None
    parts = by_strips(lambda a, b: (a * b).sigmoid(), one, other, out=out)

    torch.testing.assert_close(parts, whole)
    assert (parts is one) == in_place
