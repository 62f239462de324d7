"""Style statistics as means and covariances of features, compared by the Wasserstein-2 distance of Gaussians.

    W^2 = |mu - mu_s|^2 + tr(S + S_s - 2 (S_s^1/2 S S_s^1/2)^1/2)

(Dowson and Landau, 1982; as a style loss, Mroueh 2019, 1905.12828). Here it is divided by the number of channels.
"""

import torch
from torch import Tensor

from nst_core.losses.gram import add_gram_gradient, gram_sums
from nst_core.losses.style import weighted

RIDGE = 1e-2
"""Value added to the diagonals of covariances, as a share of the target's mean variance: where a pastiche has no
variance, the matrix root has no gradient, and where it has very little, bf16 rounding swamps that gradient, as it does
at 1e-3."""

ROUNDING = 1e-5
"""Minimum ridge, as a share of the target's mean square: what is below is rounding of its matrix. Of a target of one
colour nothing else is left, and some eigenvalues of that are negative."""

SMALLEST = 1e-30
"""Minimum ridge, for targets without any features."""


class MomentsComparison:
    """Compares means and covariances, stored as matrices [[E[F F^T], E[F]], [E[F]^T, 1]] of C + 1 rows."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the sums of the products of channels, and of each channel with 1, shape (N, C + 1, C + 1)."""
        count, channels, height, width = feature_map.shape
        products = gram_sums(weighted(feature_map, weights))
        matrix = products.new_empty(count, channels + 1, channels + 1)
        matrix[:, :channels, :channels] = products
        counted = feature_map if weights is None else weighted(feature_map, weights.square())
        sums = counted.sum(dim=(2, 3), dtype=products.dtype)
        matrix[:, :channels, channels] = matrix[:, channels, :channels] = sums
        matrix[:, channels, channels] = (
            height * width if weights is None else weights.square().sum(dim=(1, 2, 3), dtype=products.dtype)
        )
        return matrix

    def distance_from(self, target: Tensor) -> "MomentsDistance":
        """Return the distance from a target's mean and covariance."""
        return MomentsDistance(target)

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """Backpropagate through the sums of products and the plain sums; see `StyleComparison`."""
        channels = feature_map.shape[1]
        of_products, of_sums = sums_gradient[:, :channels, :channels], sums_gradient[:, :channels, channels]
        # The plain sums appear in the matrix twice, as its last row and its last column.
        of_sums = 2.0 * of_sums[:, :, None, None].to(feature_map.dtype)
        if weights is None:
            return add_gram_gradient(feature_map, of_products, gradient).add_(of_sums)
        own = weighted(add_gram_gradient(weighted(feature_map, weights), of_products, None), weights)
        own.add_(of_sums * weights.square().to(feature_map.dtype))
        return own if gradient is None else gradient.add_(own)


class MomentsDistance:
    """The distance W^2 / C from a target.

    It is computed in float64: in fp32, roots of small differences of large numbers are off by a hundredth.
    """

    def __init__(self, target: Tensor) -> None:
        self.channels = target.shape[-1] - 1
        self.mean, covariance = _moments(target.double())
        self.magnitude = _trace(target[..., :-1, :-1]) / self.channels
        self.identity = torch.eye(self.channels, dtype=covariance.dtype, device=covariance.device)
        rounding = ROUNDING * self.magnitude.double()
        ridge = (RIDGE / self.channels * _trace(covariance)).maximum(rounding).clamp_min(SMALLEST)
        self.ridge = ridge[..., None, None] * self.identity
        self.covariance = covariance + self.ridge
        # Both covariances are at least the ridge, but with bf16 features an eigenvalue can come out below 0.
        self.least = ridge.square()[..., None]
        self.root = _root(self.covariance)

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return the distance of a matrix from the target."""
        mean, covariance = self._moments(matrix)
        values = torch.linalg.eigvalsh(_finite(self.root @ covariance @ self.root))
        return self._distance(mean, covariance, values.maximum(self.least).sqrt()).to(matrix.dtype)

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance and its gradient, which is 1 - T in S and 2 (T mu - mu_s) in mu, both divided by C.

        T = S_s^1/2 (S_s^1/2 S S_s^1/2)^-1/2 S_s^1/2 is the optimal transport map.
        """
        mean, covariance = self._moments(matrix)
        values, vectors = torch.linalg.eigh(_finite(self.root @ covariance @ self.root))
        roots = values.maximum(self.least).sqrt()
        turned = self.root @ vectors
        optimal = (turned / roots[..., None, :]) @ turned.transpose(-2, -1)
        # E[F F^T] = S + mu mu^T, so that mu changes S too; half of its gradient goes to each side of the diagonal.
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
    """Return the mean, shape (..., C), and the covariance, shape (..., C, C)."""
    mean = matrix[..., :-1, -1]
    return mean, matrix[..., :-1, :-1] - mean[..., :, None] * mean[..., None, :]


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(_finite(covariance))
    root: Tensor = (vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.transpose(-2, -1)
    return root


def _finite(matrix: Tensor) -> Tensor:
    """Replace matrices with non-finite entries by 0.

    They have no eigenvalues, and one such pastiche must not stop the batch. Its distance remains NaN.
    """
    return torch.where(torch.isfinite(matrix).all(dim=-1, keepdim=True).all(dim=-2, keepdim=True), matrix, 0.0)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
