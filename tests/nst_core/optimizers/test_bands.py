"""bands: groups of coordinates that an optimizer scales alike."""

import pytest
import torch

from nst_core.optimizers import bands as bands_module
from nst_core.optimizers.bands import Bands, one_band

# Two planes of three places with two parts each; the places are in bands 0, 1 and 0.
BANDS = Bands(torch.tensor([0, 1, 0]), 2, planes=2, parts=2)


def test_square_sums() -> None:
    """`square_sums` adds up the squares of each band separately, per plane and per row."""
    rows = torch.stack([torch.arange(12.0), torch.ones(12)])

    assert BANDS.count == 4
    assert BANDS.square_sums(rows).tolist() == [
        [0 + 1 + 16 + 25, 4 + 9, 36 + 49 + 100 + 121, 64 + 81],
        [4, 2, 4, 2],
    ]


def test_spread() -> None:
    """`spread` gives every coordinate the value of its band."""
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])

    assert BANDS.spread(values).tolist() == [
        [1, 1, 2, 2, 1, 1, 3, 3, 4, 4, 3, 3],
        [5, 5, 6, 6, 5, 5, 7, 7, 8, 8, 7, 7],
    ]


def test_one_band_holds_every_coordinate() -> None:
    """The only band's square sum is the squared length of the row, and its value is spread to every coordinate."""
    bands = one_band(3, torch.device("cpu"))

    assert bands.count == 1
    assert bands.square_sums(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[14.0]]
    assert bands.spread(torch.tensor([[7.0]])).tolist() == [[7.0, 7.0, 7.0]]


def test_pieces_give_the_results_of_the_whole_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long row is cut into pieces, each within one plane; their sums and spread values are those of the whole row."""
    monkeypatch.setattr(bands_module, "WHOLE_UP_TO", 8)
    monkeypatch.setattr(bands_module, "PIECE", 4)
    pieces = Bands(torch.tensor([0, 1, 0]), 2, planes=2, parts=2)
    row, values = torch.rand(2, 12), torch.rand(2, 4)
    sums = sum(pieces.square_sums(row[:, piece.of_row], piece) for piece in pieces.pieces)
    spread = torch.cat([pieces.spread(values, piece) for piece in pieces.pieces], dim=1)

    assert [piece.of_row for piece in pieces.pieces] == [slice(0, 4), slice(4, 6), slice(6, 10), slice(10, 12)]
    torch.testing.assert_close(sums, BANDS.square_sums(row))
    assert torch.equal(spread, BANDS.spread(values))
    assert torch.equal(pieces.square_sums(row), BANDS.square_sums(row))


def test_more_bands_than_a_byte_can_number() -> None:
    """With 300 bands, more than a byte can number, each coordinate still gets the value of its own band."""
    bands = Bands(torch.arange(300), 300)

    assert bands.spread(torch.arange(300.0)[None])[0].tolist() == list(range(300))
