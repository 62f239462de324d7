"""strips: rows of a picture at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nst_core.geometry import strips
from nst_core.geometry.strips import by_strips


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 400))
def test_strips_are_all_rows_once(height: int, width: int, pixels: int) -> None:
    """Strips follow one another from the first row to the last, none of more pixels than allowed but for one row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "STRIP_PIXELS", pixels)
        found = strips.strips(height, width)

    assert [row for rows in found for row in range(height)[rows]] == list(range(height))
    assert all((rows.stop - rows.start) * width <= max(pixels, width) for rows in found)


@pytest.mark.parametrize("in_place", [False, True])
def test_work_by_strips_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, in_place: bool) -> None:
    """But for rounding, in new memory or in that of an image."""
    one, other = torch.rand(2, 3, 13, 5), torch.rand(2, 1, 13, 5)
    whole = (one * other).sigmoid()
    monkeypatch.setattr(strips, "STRIP_PIXELS", 20)
    out = one if in_place else None
    parts = by_strips(lambda a, b: (a * b).sigmoid(), one, other, out=out)

    torch.testing.assert_close(parts, whole)
    assert (parts is one) == in_place
