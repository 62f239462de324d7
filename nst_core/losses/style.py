"""What a layer's features come to as a style, and how far two styles are apart.

A style is a matrix of sums over positions, so that it adds up over the parts of a picture, and can be weighted by
regions and blended. Gram matrices and moments differ only in what the matrix holds and in how two are compared.
"""

from typing import Protocol

from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses.gram import add_gram_gradient, gram_sums


class StyleDistance(Protocol):
    """The distance from one target.

    Attributes:
        magnitude: the distance of a picture without any features, of the target's shape but for its last two
            dimensions. A distance divided by it has no unit.
    """

    magnitude: Tensor

    def __call__(self, matrix: Tensor) -> Tensor:
        """Of a matrix, shape (..., K, K), averaged over positions: shape (...)."""

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The distance, and its gradient with respect to the matrix, symmetric."""


class StyleComparison(Protocol):
    """One way to compare styles."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """The matrix of features (N, C, H, W), summed over positions, symmetric, shape (N, K, K).

        `weights`, shape (N, 1, H, W), multiply the features before they are squared: a position counts by their square.
        """

    def distance_from(self, target: Tensor) -> StyleDistance:
        """The distance from a target, shape (..., K, K)."""

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """The gradient with respect to the features, given that with respect to `sums`.

        `gradient`, whose memory may be used for the result, is added to it; None is 0.
        """


class GramComparison:
    """Mean squared distance of Gram matrices (Gatys et al., 2016, eq. 4, up to the recipes' factors)."""

    def sums(self, feature_map: Tensor, weights: Tensor | None = None) -> Tensor:
        """Products of channels, shape (N, C, C)."""
        return gram_sums(weighted(feature_map, weights))

    def distance_from(self, target: Tensor) -> "GramDistance":
        """From a Gram matrix."""
        return GramDistance(target)

    def pull_back(
        self, feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None, weights: Tensor | None = None
    ) -> Tensor:
        """See `StyleComparison`: of the products of channels."""
        if weights is None:
            return add_gram_gradient(feature_map, sums_gradient, gradient)
        own = weighted(add_gram_gradient(weighted(feature_map, weights), sums_gradient, None), weights)
        return own if gradient is None else gradient.add_(own)


class GramDistance:
    """mean((G - A)^2)."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.magnitude = target.square().mean(dim=(-2, -1))

    def __call__(self, matrix: Tensor) -> Tensor:
        """The distance."""
        return style_loss(matrix, self.target)

    def with_gradient(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient is 2 (G - A) / C^2."""
        return self(matrix), (matrix - self.target) * (2.0 / (matrix.shape[-1] * matrix.shape[-2]))


def weighted(feature_map: Tensor, weights: Tensor | None) -> Tensor:
    """Features times a weight per position."""
    return feature_map if weights is None else feature_map * weights.to(feature_map.dtype)


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between the Gram matrix of each pastiche and of its style image.

    Args:
        gram: shape (..., C, C), as `gram_matrix` gives it.
        target: the same shape, or with 1 in place of a number: a target that all share.

    Returns:
        Shape (...).

    Raises:
        ShapeError: if the shapes do not fit.

    Departs from Gatys et al. (2016), eq. 4, which sums with 1/(4 C^2 M^2): the recipes put their factors on this mean.
    """
    fits = gram.dim() == target.dim() and all(b in (1, a) for a, b in zip(gram.shape, target.shape, strict=True))
    if not fits or gram.shape[-2:] != target.shape[-2:]:
        raise ShapeError(f"Gram matrix {tuple(gram.shape)} and target {tuple(target.shape)} do not fit")
    return (gram - target).square().mean(dim=(-2, -1))
