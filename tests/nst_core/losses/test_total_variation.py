"""total_variation: roughness of an image."""

import pytest
import torch

from nst_core.errors import ShapeError
from nst_core.geometry import strips
from nst_core.losses.total_variation import total_variation, total_variation_gradient


def test_a_constant_image_is_smooth() -> None:
    """An image of one colour has a total variation of exactly 0."""
    image = torch.tensor([0.2, 0.7, 0.1]).view(1, 3, 1, 1).expand(2, 3, 4, 5)

    assert total_variation(image).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0.0, 1.0], [0.0, 1.0]], 1.0),  # across 1 and 1, down 0 and 0
        ([[0.0, 0.0], [1.0, 1.0]], 1.0),
        ([[0.0, 1.0], [1.0, 0.0]], 2.0),
        ([[0.0, 0.5, 0.25], [0.0, 0.5, 0.25]], 0.375),  # across (0.5 + 0.25) / 2
        ([[0.0, 3.0], [0.0, 0.0], [0.0, 0.0]], 1.75),  # across 3 / 3, down 3 / 4
    ],
)
def test_by_hand(rows: list[list[float]], expected: float) -> None:
    """The mean step to the right plus the mean step down, steps up and down alike."""
    assert total_variation(torch.tensor([[rows]])).item() == pytest.approx(expected)


def test_every_image_by_itself_over_its_channels() -> None:
    """Channels are averaged; images of a batch keep their own value."""
    flat, stripes = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    batch = torch.stack([torch.cat([flat, stripes]), torch.cat([stripes, stripes]), torch.cat([flat, flat])])

    assert total_variation(batch).tolist() == [0.5, 1.0, 0.0]


def test_size_does_not_matter() -> None:
    """A chequerboard is as rough at every even size: differences are averaged, not summed."""
    board = torch.arange(8)[:, None].add(torch.arange(8)).remainder(2).float()

    assert total_variation(board[None, None]).item() == total_variation(board[None, None, :2, :2]).item() == 2.0


def test_gradient() -> None:
    """The gradient is that of finite differences."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()

    assert torch.autograd.gradcheck(total_variation, (image,))


@pytest.mark.parametrize("shape", [(1, 3, 1, 5), (1, 3, 5, 1), (3, 5, 5), (1, 1, 3, 5, 5)])
def test_shape(shape: tuple[int, ...]) -> None:
    """An image without neighbours in both directions, or of other dimensions, is refused."""
    with pytest.raises(ShapeError, match="H and W at least 2"):
        total_variation(torch.zeros(shape))


@pytest.mark.parametrize("pixels", [1, 20, 45])
def test_strip_by_strip_it_is_the_same(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    """A large picture's is summed over strips of rows; what lies between two strips counts once."""
    image = torch.rand(2, 3, 11, 9)
    whole, gradient = total_variation(image), total_variation_gradient(image)
    monkeypatch.setattr(strips, "STRIP_PIXELS", pixels)

    torch.testing.assert_close(total_variation(image), whole)
    torch.testing.assert_close(total_variation_gradient(image), gradient)
