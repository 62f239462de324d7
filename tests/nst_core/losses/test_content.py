"""The content loss: the mean squared distance of features."""

import pytest
import torch
from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses.content import content_loss


def features(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_is_the_mean_squared_distance_of_each_map() -> None:
    """Each map has its own loss: distances 1, 2, 3 and 4 have the mean square 7.5; 0, 0, 0 and 2 have 1."""
    feature_map = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 2.0]).view(2, 1, 2, 2)

    assert content_loss(feature_map, torch.zeros(2, 1, 2, 2)).tolist() == [7.5, 1.0]


def test_equal_features_have_no_loss() -> None:
    """Features equal to their target have a loss of exactly 0."""
    feature_map = features(2, 3, 4, 5, seed=0)

    assert content_loss(feature_map, feature_map.clone()).tolist() == [0.0, 0.0]


def test_one_target_serves_every_map() -> None:
    """A target of one map gives the same losses as a copy of it for every map."""
    feature_map, target = features(2, 3, 4, 5, seed=0), features(1, 3, 4, 5, seed=1)

    torch.testing.assert_close(content_loss(feature_map, target), content_loss(feature_map, target.repeat(2, 1, 1, 1)))


def test_half_precision_features_are_compared_in_the_targets_precision() -> None:
    """bf16 features are compared with an fp32 target in fp32, so that their squares are not rounded to bf16."""
    feature_map = torch.full((1, 1, 1, 1), 1.0078125, dtype=torch.bfloat16)

    loss = content_loss(feature_map, torch.zeros(1, 1, 1, 1))

    assert loss.dtype == torch.float32
    assert loss.item() == 1.0078125**2


def test_the_gradient_agrees_with_finite_differences() -> None:
    """Autograd's gradient of the content loss agrees with finite differences."""
    feature_map, target = features(2, 3, 2, 4, seed=0).requires_grad_(), features(2, 3, 2, 4, seed=1)

    assert torch.autograd.gradcheck(lambda one: content_loss(one, target), (feature_map,))


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3, 4, 5), (2, 3, 5, 4)),
        ((2, 3, 4, 5), (2, 1, 4, 5)),
        ((2, 3, 4, 5), (3, 3, 4, 5)),
        ((1, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 4, 5), (2, 3, 1, 1)),
        ((2, 3, 4, 5), (3, 4, 5)),
    ],
)
def test_a_target_of_another_shape_is_refused(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    """A target of another shape is refused, instead of being broadcast."""
    with pytest.raises(ShapeError, match="do not fit"):
        content_loss(torch.zeros(shape), torch.zeros(target))
