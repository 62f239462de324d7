"""Content loss: the squared distance of features."""

from torch import Tensor

from nst_core.errors import ShapeError


def content_loss(feature_map: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute the mean squared distance between the features of each pastiche and of its content image.

    Args:
        feature_map: features of the pastiches, float, shape (N, C, H, W).
        target: features of the contents, of the same shape, or (1, C, H, W) for one target shared by all.
        weights: a weight per position, shape (N, 1, H, W), with mean 1; None weights all positions equally.

    Returns:
        The distances, shape (N,).

    Raises:
        ShapeError: if the shapes do not match.

    Departs from Gatys et al. (2016), eq. 1, which is half the sum: the recipes apply their factors to this mean.
    """
    if feature_map.shape[1:] != target.shape[1:] or target.shape[0] not in (1, feature_map.shape[0]):
        raise ShapeError(f"features {tuple(feature_map.shape)} and target {tuple(target.shape)} do not fit")
    distance = (feature_map.to(target.dtype) - target).square()
    return (distance if weights is None else distance * weights).mean(dim=(1, 2, 3))
