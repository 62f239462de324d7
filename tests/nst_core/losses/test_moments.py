"""losses.moments: means and covariances of features, and their Wasserstein distance."""

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


def test_the_matrix_holds_second_moments_and_means() -> None:
    """[[E[F F^T], E[F]], [E[F]^T, 1]]."""
    feature_map = features(2, 3, 4, 5, seed=0)
    flat = feature_map.flatten(2)

    found = matrix(feature_map)

    torch.testing.assert_close(found[:, :3, :3], flat @ flat.mT / 20)
    torch.testing.assert_close(found[:, :3, 3], flat.mean(dim=2))
    torch.testing.assert_close(found[:, 3, :3], flat.mean(dim=2))
    assert found[:, 3, 3].tolist() == [1.0, 1.0]


def test_sums_of_parts_add_up() -> None:
    """The matrix of a map is the sum of those of its halves."""
    feature_map = features(1, 3, 4, 6, seed=0)

    parts = MOMENTS.sums(feature_map[..., :2]) + MOMENTS.sums(feature_map[..., 2:])

    torch.testing.assert_close(MOMENTS.sums(feature_map), parts)


def test_gaussians_that_only_moved() -> None:
    """The distance of a shifted copy is the squared shift per channel."""
    feature_map = features(1, 4, 6, 7, seed=1)

    distance = MOMENTS.distance_from(matrix(feature_map))

    assert distance(matrix(feature_map + 3.0)).item() == pytest.approx(9.0)
    assert distance(matrix(feature_map)).item() == pytest.approx(0.0, abs=1e-9)


def test_gaussians_that_only_grew() -> None:
    """Of independent channels without mean, twice as wide: the squared deviations, as in one dimension."""
    widths = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    target = torch.zeros(1, 4, 4, dtype=torch.float64)
    target[0, :3, :3], target[0, 3, 3] = torch.diag(widths**2), 1.0
    grown = target.clone()
    grown[0, :3, :3] *= 4.0

    # The ridge on both diagonals takes a little of it.
    assert MOMENTS.distance_from(target)(grown).item() == pytest.approx((widths**2).mean().item(), rel=0.05)


def test_the_slope_is_the_gradient() -> None:
    """By hand as by autograd through the eigenvalues, for the distance and through the sums to the features."""
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
    """A position of weight sqrt(2) counts as two of them, in value and gradient."""
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


def test_fewer_positions_than_channels() -> None:
    """A covariance without full rank has a finite distance and slope."""
    few, target = features(1, 40, 2, 3, seed=5), features(1, 40, 2, 2, seed=6)

    value, slope = MOMENTS.distance_from(matrix(target)).with_gradient(matrix(few))

    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert value.item() > 0.0


def test_what_is_not_finite_harms_no_other() -> None:
    """One pastiche with NaN features has a distance of NaN; the other of the batch has its own."""
    feature_map = features(2, 4, 5, 6, seed=7)
    distance = MOMENTS.distance_from(matrix(features(1, 4, 6, 6, seed=8)))
    expected = distance(matrix(feature_map))[1]
    feature_map[0, 0, 0, 0] = torch.nan

    value, _ = distance.with_gradient(matrix(feature_map))

    assert value[0].isnan()
    torch.testing.assert_close(value[1], expected)
