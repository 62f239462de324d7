"""Styles as Gaussians of features: means and covariances, compared by the Wasserstein distance.

    W^2 = |mu - mu_s|^2 + tr(S + S_s - 2 (S_s^1/2 S S_s^1/2)^1/2)

(Dowson and Landau, 1982; as a style loss, Mroueh 2019, 1905.12828). Here divided by the number of channels.
"""

import torch
from torch import Tensor

from nst_core.losses.gram import add_gram_gradient, gram_sums
from nst_core.losses.style import weighted

RIDGE = 1e-2
"""Added to the diagonals of covariances, as a share of the target's mean variance: where a pastiche has no variance the
root has no gradient, and where it has next to none the rounding of bf16 drowns it. At 1e-3 it does."""

SMALLEST = 1e-30
"""A variance for targets that have none at all."""


class MomentsComparison:
    """Matrices are [[E[F F^T], E[F]], [E[F]^T, 1]], of C + 1 rows."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """Products of channels, and of each with 1, shape (N, C + 1, C + 1)."""
        count, channels, height, width = feature_map.shape
        products = gram_sums(weighted(feature_map, weights))
        matrix = products.new_empty(count, channels + 1, channels + 1)
        matrix[:, :channels, :channels] = products
        kept = feature_map if weights is None else weighted(feature_map, weights.square())
        sums = kept.sum(dim=(2, 3), dtype=products.dtype)
        matrix[:, :channels, channels] = matrix[:, channels, :channels] = sums
        matrix[:, channels, channels] = (
            height * width if weights is None else weights.square().sum(dim=(1, 2, 3), dtype=products.dtype)
        )
        return matrix

    def distance_from(self, target: Tensor) -> "MomentsDistance":
        """From a mean and a covariance."""
        return MomentsDistance(target)

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """See `StyleComparison`: of the products of channels, and of their sums."""
        channels = feature_map.shape[1]
        of_products, of_sums = sums_gradient[:, :channels, :channels], sums_gradient[:, :channels, channels]
        # It stands in the matrix twice.
        of_sums = 2.0 * of_sums[:, :, None, None].to(feature_map.dtype)
        if weights is None:
            return add_gram_gradient(feature_map, of_products, gradient).add_(of_sums)
        own = weighted(add_gram_gradient(weighted(feature_map, weights), of_products, None), weights)
        own.add_(of_sums * weights.square().to(feature_map.dtype))
        return own if gradient is None else gradient.add_(own)


class MomentsDistance:
    """W^2 / C. Worked out in float64: roots of small differences of large numbers, in fp32, are off by a hundredth."""

    def __init__(self, target: Tensor) -> None:
        self.channels = target.shape[-1] - 1
        self.mean, covariance = _moments(target.double())
        self.magnitude = _trace(target[..., :-1, :-1]) / self.channels
        self.identity = torch.eye(self.channels, dtype=covariance.dtype, device=covariance.device)
        ridge = (RIDGE / self.channels * _trace(covariance)).clamp_min(SMALLEST)
        self.ridge = ridge[..., None, None] * self.identity
        self.covariance = covariance + self.ridge
        # Both covariances are at least the ridge; of features in bf16 one can come out below 0.
        self.least = ridge.square()[..., None]
        self.root = _root(self.covariance)

    def __call__(self, matrix: Tensor) -> Tensor:
        """The distance."""
        mean, covariance = self._moments(matrix)
        values = torch.linalg.eigvalsh(_finite(self.root @ covariance @ self.root))
        return self._distance(mean, covariance, values.maximum(self.least).sqrt()).to(matrix.dtype)

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient is 1 - T in S and 2 (T mu - mu_s) in mu, both over C.

        T = S_s^1/2 (S_s^1/2 S S_s^1/2)^-1/2 S_s^1/2 is the optimal map.
        """
        mean, covariance = self._moments(matrix)
        values, vectors = torch.linalg.eigh(_finite(self.root @ covariance @ self.root))
        roots = values.maximum(self.least).sqrt()
        turned = self.root @ vectors
        optimal = (turned / roots[..., None, :]) @ turned.transpose(-2, -1)
        # E[F F^T] = S + mu mu^T, so that mu moves S too; half of its gradient stands on each side of the diagonal.
        of_mean = (optimal @ mean[..., None])[..., 0] - self.mean
        of_matrix = torch.zeros_like(matrix)
        of_matrix[..., :-1, :-1] = self.identity - optimal
        of_matrix[..., :-1, -1] = of_matrix[..., -1, :-1] = of_mean.to(matrix.dtype)
        return self._distance(mean, covariance, roots).to(matrix.dtype), of_matrix / self.channels

    def _moments(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        mean, covariance = _moments(matrix.double())
        return mean, covariance + self.ridge

    def _distance(self, mean: Tensor, covariance: Tensor, roots: Tensor) -> Tensor:
        of_means = (mean - self.mean).square().sum(dim=-1)
        of_covariances = _trace(covariance) + _trace(self.covariance) - 2.0 * roots.sum(dim=-1)
        return (of_means + of_covariances).clamp_min(0.0) / self.channels


def _moments(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, shape (..., C), and covariance, shape (..., C, C)."""
    mean = matrix[..., :-1, -1]
    return mean, matrix[..., :-1, :-1] - mean[..., :, None] * mean[..., None, :]


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(_finite(covariance))
    root: Tensor = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.transpose(-2, -1)
    return root


def _finite(matrix: Tensor) -> Tensor:
    """0 for what is not: it has no spectrum, and one such pastiche must not stop a batch. Its distance is NaN still."""
    return torch.where(torch.isfinite(matrix).all(dim=-1, keepdim=True).all(dim=-2, keepdim=True), matrix, 0.0)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
