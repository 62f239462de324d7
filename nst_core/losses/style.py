"""Style statistics of feature maps, and the distance between two styles.

A style is a matrix of sums over positions, so that it adds up over the parts of an image, and can be weighted by
regions and blended. Gram matrices and moments differ only in what the matrix holds and how two matrices are compared.
"""

from typing import Protocol

from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses.gram import add_gram_gradient, gram_sums


class StyleDistance(Protocol):
    """The distance from one target.

    Attributes:
        magnitude: the distance of an image without any features; its shape is the target's without the last two
            dimensions. A distance divided by it is dimensionless.
    """

    magnitude: Tensor

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return the distance, shape (...), of matrices averaged over positions, shape (..., K, K)."""

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance, and its gradient with respect to the matrix, symmetric."""


class StyleComparison(Protocol):
    """A kind of style statistic together with its distance."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the symmetric style matrix of features (N, C, H, W), summed over positions, shape (N, K, K).

        `weights`, shape (N, 1, H, W), multiply the features before they are squared: a position counts by its weight
        squared.
        """

    def distance_from(self, target: Tensor) -> StyleDistance:
        """Return the distance from a target, shape (..., K, K)."""

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """Backpropagate a gradient with respect to `sums` to the features.

        The result is added to `gradient`, whose memory may be reused; None is 0.
        """


class GramComparison:
    """Compares Gram matrices by mean squared distance (Gatys et al., 2016, eq. 4, up to the recipes' factors)."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the sums of the products of channels, shape (N, C, C)."""
        return gram_sums(weighted(feature_map, weights))

    def distance_from(self, target: Tensor) -> "GramDistance":
        """Return the distance from a Gram matrix."""
        return GramDistance(target)

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """Backpropagate through the sums of products; see `StyleComparison`."""
        if weights is None:
            return add_gram_gradient(feature_map, sums_gradient, gradient)
        own = weighted(add_gram_gradient(weighted(feature_map, weights), sums_gradient, None), weights)
        return own if gradient is None else gradient.add_(own)


class GramDistance:
    """The distance mean((G - A)^2) from a Gram matrix A."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.magnitude = target.square().mean(dim=(-2, -1))

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return the distance of a matrix from the target."""
        return style_loss(matrix, self.target)

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance, and its gradient 2 (G - A) / C^2."""
        return self(matrix), (matrix - self.target) * (2.0 / (matrix.shape[-1] * matrix.shape[-2]))


def weighted(feature_map: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply features by a weight per position."""
    return feature_map if weights is None else feature_map * weights.to(feature_map.dtype)


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance between the Gram matrix of each pastiche and of its style image.

    Args:
        gram: Gram matrices, shape (..., C, C), as returned by `gram_matrix`.
        target: Gram matrices of the same shape, or with size 1 in leading dimensions that share a target.

    Returns:
        The distances, shape (...).

    Raises:
        ShapeError: if the shapes do not match.

    Departs from Gatys et al. (2016), eq. 4, which sums with 1/(4 C^2 M^2): the recipes apply their factors to this
    mean.
    """
    fits = gram.dim() == target.dim() and all(b in (1, a) for a, b in zip(gram.shape, target.shape, strict=True))
    if not fits or gram.shape[-2:] != target.shape[-2:]:
        raise ShapeError(f"Gram matrix {tuple(gram.shape)} and target {tuple(target.shape)} do not fit")
    return (gram - target).square().mean(dim=(-2, -1))
