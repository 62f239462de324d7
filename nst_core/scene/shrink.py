"""Halve images and maps repeatedly, for the coarse levels of an optimisation."""

from torch import Tensor
from torch.nn import functional


def shrink(image: Tensor, level: int) -> Tensor:
    """Halve images, shape (N, C, H, W), in [0, 1], `level` times."""
    if level == 0:
        return image
    size = [max(1, side >> level) for side in image.shape[2:]]
    small = functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0.0, 1.0)
