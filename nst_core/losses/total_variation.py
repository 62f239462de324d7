"""Roughness of an image."""

import torch
from torch import Tensor

from nst_core.errors import ShapeError


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference between neighbours, horizontal plus vertical.

    Args:
        image: float, shape (N, C, H, W), H and W at least 2.

    Returns:
        Shape (N,). 0 for a constant image.

    Raises:
        ShapeError: if the image has another shape.

    The anisotropic form of Rudin, Osher and Fatemi (1992), as a mean, so that one weight suits every size.

    >>> import torch
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).item()
    1.0
    """
    if image.dim() != 4 or min(image.shape[2:]) < 2:
        raise ShapeError(f"expected an image of shape (N, C, H, W) with H and W at least 2, got {tuple(image.shape)}")
    across = image.diff(dim=3).abs().mean(dim=(1, 2, 3))
    down = image.diff(dim=2).abs().mean(dim=(1, 2, 3))
    return across + down


def total_variation_gradient(image: Tensor) -> Tensor:
    """Gradient of `total_variation`, shape (N, C, H, W); 0 where neighbours are equal."""
    gradient = torch.zeros_like(image)
    for dim in (2, 3):
        differences = image.diff(dim=dim)
        signs = differences.sign() / differences[0].numel()
        last = image.shape[dim] - 1
        gradient.narrow(dim, 1, last).add_(signs)
        gradient.narrow(dim, 0, last).sub_(signs)
    return gradient
