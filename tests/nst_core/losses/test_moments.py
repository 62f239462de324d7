"""Means and covariances of features, and their Wasserstein distance."""

import pytest
import torch
from torch import Tensor

from nst_core.losses.moments import MomentsComparison

MOMENTS = MomentsComparison()


def features(count: int, channels: int, height: int, width: int, seed: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    plain = torch.randn(count, channels, height, width, generator=generator, dtype=torch.float64)
    return torch.einsum("dc,nchw->ndhw", mixed * spread, plain) + torch.arange(channels)[:, None, None] * 0.1


def matrix(feature_map: Tensor) -> Tensor:
    return MOMENTS.sums(feature_map) / (feature_map.shape[2] * feature_map.shape[3])


def test_the_matrix_contains_second_moments_and_means() -> None:
    """The matrix of a feature map is [[E[F F^T], E[F]], [E[F]^T, 1]]."""
    feature_map = features(2, 3, 4, 5, seed=0)
    flat = feature_map.flatten(2)

    found = matrix(feature_map)

    torch.testing.assert_close(found[:, :3, :3], flat @ flat.mT / 20)
    torch.testing.assert_close(found[:, :3, 3], flat.mean(dim=2))
    torch.testing.assert_close(found[:, 3, :3], flat.mean(dim=2))
    assert found[:, 3, 3].tolist() == [1.0, 1.0]


def test_sums_of_parts_add_up() -> None:
    """The sums of a map are those of its two parts added up."""
    feature_map = features(1, 3, 4, 6, seed=0)

    parts = MOMENTS.sums(feature_map[..., :2]) + MOMENTS.sums(feature_map[..., 2:])

    torch.testing.assert_close(MOMENTS.sums(feature_map), parts)


def test_the_distance_of_shifted_features() -> None:
    """Features that are all shifted by 3 are at distance 9, the squared shift; unchanged ones are at distance 0."""
    feature_map = features(1, 4, 6, 7, seed=1)

    distance = MOMENTS.distance_from(matrix(feature_map))

    assert distance(matrix(feature_map + 3.0)).item() == pytest.approx(9.0)
    assert distance(matrix(feature_map)).item() == pytest.approx(0.0, abs=1e-9)


def test_the_distance_of_scaled_features() -> None:
    """Independent channels of mean 0 with twice the standard deviation are at the mean of the squared deviations, as in
    one dimension.
    """
    widths = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    target = torch.zeros(1, 4, 4, dtype=torch.float64)
    target[0, :3, :3], target[0, 3, 3] = torch.diag(widths**2), 1.0
    grown = target.clone()
    grown[0, :3, :3] *= 4.0

    # The ridge on both diagonals makes it a little smaller.
    assert MOMENTS.distance_from(target)(grown).item() == pytest.approx((widths**2).mean().item(), rel=0.05)


def test_the_gradient_is_autograds() -> None:
    """The gradient of the distance, pulled back through the sums to the features, is autograd's through the
    eigenvalues.
    """
    feature_map = features(2, 4, 5, 6, seed=2).requires_grad_()
    distance = MOMENTS.distance_from(matrix(features(1, 4, 6, 6, seed=3)))
    positions = 30

    value, slope = distance.with_gradient(matrix(feature_map.detach()))
    found = MOMENTS.pull_back(feature_map.detach(), slope / positions, None)

    expected = distance(matrix(feature_map))
    torch.testing.assert_close(value, expected.detach())
    (gradient,) = torch.autograd.grad(expected.sum(), feature_map)
    torch.testing.assert_close(found, gradient)


def test_weights_count_positions_by_their_square() -> None:
    """A position of weight sqrt(2) counts as two positions in the sums, and a gradient is multiplied by the weight's
    square.
    """
    feature_map = features(1, 3, 2, 4, seed=4)
    doubled = torch.cat([feature_map, feature_map[..., :2]], dim=3)
    weights = torch.ones(1, 1, 2, 4, dtype=torch.float64)
    weights[..., :2] = 2.0**0.5

    torch.testing.assert_close(MOMENTS.sums(feature_map, weights), MOMENTS.sums(doubled))

    slope = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = slope + slope.mT
    plain = MOMENTS.pull_back(feature_map, slope, None)
    torch.testing.assert_close(
        MOMENTS.pull_back(feature_map, slope, torch.ones_like(plain), weights), plain * weights.square() + 1.0
    )


def test_fewer_positions_than_channels_give_finite_results() -> None:
    """With fewer positions than channels, covariances have no full rank, but distance and gradient are finite."""
    few, target = features(1, 40, 2, 3, seed=5), features(1, 40, 2, 2, seed=6)

    value, slope = MOMENTS.distance_from(matrix(target)).with_gradient(matrix(few))

    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert value.item() > 0.0


def test_nan_features_do_not_affect_other_pastiches() -> None:
    """A pastiche with NaN features has a distance of NaN; the other one of the batch keeps its own distance."""
    feature_map = features(2, 4, 5, 6, seed=7)
    distance = MOMENTS.distance_from(matrix(features(1, 4, 6, 6, seed=8)))
    expected = distance(matrix(feature_map))[1]
    feature_map[0, 0, 0, 0] = torch.nan

    value, _ = distance.with_gradient(matrix(feature_map))

    assert value[0].isnan()
    torch.testing.assert_close(value[1], expected)


@pytest.mark.parametrize("channels", [8, 64])
@pytest.mark.parametrize("seed", range(4))
def test_a_target_of_one_colour_gives_small_gradients(channels: int, seed: int) -> None:
    """Where target and pastiche have the same features everywhere, their fp32 matrices hold rounding in place of a
    covariance; the gradient in it stays as small as that of a covariance, and the distance is that of the means.
    """
    generator = torch.Generator().manual_seed(seed)
    target, pastiche = (100.0 * torch.rand(1, channels, 1, 1, generator=generator) for _ in range(2))

    distance = MOMENTS.distance_from(matrix(target.expand(-1, -1, 61, 61).contiguous()))
    value, slope = distance.with_gradient(matrix(pastiche.expand(-1, -1, 61, 54).contiguous()))

    assert value.item() == pytest.approx((target - pastiche).square().mean().item(), rel=1e-3)
    assert slope[..., :-1, :-1].abs().max().item() < 3.0 / channels
