"""Halve images and maps repeatedly, for the coarse levels of an optimisation."""

from torch import Tensor
from torch.nn import functional

MOST_HALVINGS = 5
"""Halvings that one resampling does. CUDA's kernel has not enough shared memory for an antialiasing filter that shrinks
by more than 47."""


def shrink(image: Tensor, level: int) -> Tensor:
    """Halve images, shape (N, C, H, W), in [0, 1], `level` times."""
    if level == 0:
        return image
    size = [max(1, side >> level) for side in image.shape[2:]]
    image = shrink(image, max(0, level - MOST_HALVINGS))
    small = functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0.0, 1.0)
