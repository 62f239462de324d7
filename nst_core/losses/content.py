"""Distance of features."""

from torch import Tensor

from nst_core.errors import ShapeError


def content_loss(feature_map: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared distance between the features of each pastiche and of its content image.

    Args:
        feature_map: float, shape (N, C, H, W).
        target: the same shape, or (1, C, H, W) for one target that all share.
        weights: of the positions, shape (N, 1, H, W), of mean 1; None is 1.

    Returns:
        Shape (N,).

    Raises:
        ShapeError: if the shapes do not fit.

    Departs from Gatys et al. (2016), eq. 1, which is half the sum: the recipes put their factors on this mean.
    """
    if feature_map.shape[1:] != target.shape[1:] or target.shape[0] not in (1, feature_map.shape[0]):
        raise ShapeError(f"features {tuple(feature_map.shape)} and target {tuple(target.shape)} do not fit")
    distance = (feature_map.to(target.dtype) - target).square()
    return (distance if weights is None else distance * weights).mean(dim=(1, 2, 3))
