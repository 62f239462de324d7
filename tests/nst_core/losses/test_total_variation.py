"""Total variation: the roughness of an image, and its gradient."""

import pytest
import torch

from nst_core.errors import ShapeError
from nst_core.geometry import strips
from nst_core.losses.total_variation import total_variation, total_variation_gradient


def test_an_image_of_one_colour_has_no_variation() -> None:
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
def test_it_is_the_mean_step_right_plus_the_mean_step_down(rows: list[list[float]], expected: float) -> None:
    """It is the mean absolute difference to the right plus the mean absolute difference downwards."""
    assert total_variation(torch.tensor([[rows]])).item() == pytest.approx(expected)


def test_channels_are_averaged_and_images_kept_apart() -> None:
    """Each image of a batch has its own value, which is a mean over its channels."""
    flat, stripes = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    batch = torch.stack([torch.cat([flat, stripes]), torch.cat([stripes, stripes]), torch.cat([flat, flat])])

    assert total_variation(batch).tolist() == [0.5, 1.0, 0.0]


def test_the_size_of_the_image_does_not_matter() -> None:
    """Chequerboards of 2 and of 8 pixels have the same value, because differences are averaged, not summed."""
    board = torch.arange(8)[:, None].add(torch.arange(8)).remainder(2).float()

    assert total_variation(board[None, None]).item() == total_variation(board[None, None, :2, :2]).item() == 2.0


def test_autograds_gradient_agrees_with_finite_differences() -> None:
    """Autograd's gradient of the total variation agrees with finite differences."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()

    assert torch.autograd.gradcheck(total_variation, (image,))


@pytest.mark.parametrize("shape", [(1, 3, 1, 5), (1, 3, 5, 1), (3, 5, 5), (1, 1, 3, 5, 5)])
def test_images_without_neighbours_or_of_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    """An image of one row or one column, or a tensor of other dimensions, is refused."""
    with pytest.raises(ShapeError, match="H and W at least 2"):
        total_variation(torch.zeros(shape))


@pytest.mark.parametrize("pixels", [1, 20, 45])
def test_strips_do_not_change_value_and_gradient(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    """In strips of rows, value and gradient are those of the whole image: steps between two strips count once."""
    image = torch.rand(2, 3, 11, 9)
    whole, gradient = total_variation(image), total_variation_gradient(image)
    monkeypatch.setattr(strips, "STRIP_PIXELS", pixels)

    torch.testing.assert_close(total_variation(image), whole)
    torch.testing.assert_close(total_variation_gradient(image), gradient)
