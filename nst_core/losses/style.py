"""Distance of Gram matrices."""

from torch import Tensor

from nst_core.errors import ShapeError


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between the Gram matrix of each pastiche and of its style image.

    Args:
        gram: shape (N, C, C), as `gram_matrix` gives it.
        target: the same shape, or (1, C, C) for one target that all share.

    Returns:
        Shape (N,).

    Raises:
        ShapeError: if the shapes do not fit.

    Departs from Gatys et al. (2016), eq. 4, which sums with 1/(4 C^2 M^2): the recipes put their factors on this mean.
    """
    if gram.shape[1:] != target.shape[1:] or target.shape[0] not in (1, gram.shape[0]):
        raise ShapeError(f"Gram matrix {tuple(gram.shape)} and target {tuple(target.shape)} do not fit")
    return (gram - target).square().mean(dim=(1, 2))
