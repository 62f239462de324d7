"""The style loss: the mean squared distance of Gram matrices."""

import pytest
import torch
from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses.gram import gram_matrix
from nst_core.losses.style import style_loss


def features(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_is_the_mean_squared_distance_of_each_matrix() -> None:
    """Each matrix has its own loss: distances 1, 2, 2 and 4 have the mean square 6.25; 0, 2, 2 and 0 have 2."""
    gram = torch.tensor([1.0, 2.0, 2.0, 4.0, 0.0, 2.0, 2.0, 0.0]).view(2, 2, 2)

    assert style_loss(gram, torch.zeros(2, 2, 2)).tolist() == [6.25, 2.0]


def test_equal_matrices_have_no_loss() -> None:
    """A matrix equal to its target has a loss of exactly 0."""
    gram = gram_matrix(features(2, 3, 4, 5, seed=0))

    assert style_loss(gram, gram.clone()).tolist() == [0.0, 0.0]


def test_one_target_serves_every_matrix() -> None:
    """A target of one matrix gives the same losses as a copy of it for every matrix."""
    gram, target = gram_matrix(features(2, 3, 4, 5, seed=0)), gram_matrix(features(1, 3, 4, 5, seed=1))

    torch.testing.assert_close(style_loss(gram, target), style_loss(gram, target.repeat(2, 1, 1)))


def test_the_gradient_agrees_with_finite_differences() -> None:
    """Autograd's gradient through the Gram matrix to the features agrees with finite differences."""
    feature_map, target = features(2, 3, 2, 4, seed=0).requires_grad_(), gram_matrix(features(1, 3, 5, 2, seed=1))

    assert torch.autograd.gradcheck(lambda one: style_loss(gram_matrix(one), target), (feature_map,))


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3, 3), (2, 4, 4)),
        ((2, 3, 3), (2, 1, 1)),
        ((2, 3, 3), (3, 3, 3)),
        ((1, 3, 3), (2, 3, 3)),
        ((2, 3, 3), (3, 3)),
    ],
)
def test_a_target_of_another_shape_is_refused(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    """A target of another shape is refused, instead of being broadcast."""
    with pytest.raises(ShapeError, match="do not fit"):
        style_loss(torch.zeros(shape), torch.zeros(target))
