"""Total variation: the roughness of an image, and its gradient."""

import torch
from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.geometry.strips import strips


def total_variation(image: Tensor) -> Tensor:
    """Compute the mean absolute difference between neighbouring pixels, horizontal plus vertical.

    Args:
        image: images, float, shape (N, C, H, W), with H and W at least 2.

    Returns:
        The total variation, shape (N,); 0 for a constant image.

    Raises:
        ShapeError: if the image has another shape.

    The anisotropic form of Rudin, Osher and Fatemi (1992), as a mean, so that one weight suits every size.

    >>> import torch
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).item()
    1.0
    """
    if image.dim() != 4 or min(image.shape[2:]) < 2:
        raise ShapeError(f"expected an image of shape (N, C, H, W) with H and W at least 2, got {tuple(image.shape)}")
    height, width = image.shape[2:]
    across, down = image.new_zeros(image.shape[0]), image.new_zeros(image.shape[0])
    for rows in strips(height, width):
        differences = image[:, :, rows].diff(dim=3)
        across = across + differences.abs().mean(dim=(1, 2, 3)) * (differences.shape[2] / height)
        with_next = image[:, :, rows.start : rows.stop + 1].diff(dim=2)
        if with_next.numel():
            down = down + with_next.abs().mean(dim=(1, 2, 3)) * (with_next.shape[2] / (height - 1))
    return across + down


def total_variation_gradient(image: Tensor) -> Tensor:
    """Return the gradient of `total_variation`, shape (N, C, H, W); 0 where neighbours are equal."""
    gradient = torch.zeros_like(image)
    channels, height, width = image.shape[1:]
    differences = {2: channels * (height - 1) * width, 3: channels * height * (width - 1)}
    for rows in strips(height, width):
        # The vertical difference to the row below the strip belongs to the strip, which adds it to both rows.
        for dim, stop in ((2, rows.stop + 1), (3, rows.stop)):
            part, of_part = image[:, :, rows.start : stop], gradient[:, :, rows.start : stop]
            signs = part.diff(dim=dim).sign() / differences[dim]
            of_part.narrow(dim, 1, signs.shape[dim]).add_(signs)
            of_part.narrow(dim, 0, signs.shape[dim]).sub_(signs)
    return gradient
