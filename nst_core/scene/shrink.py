"""Pictures and maps at half the size, and half of that: what the coarse levels of an optimisation work on."""

from torch import Tensor
from torch.nn import functional


def shrink(image: Tensor, level: int) -> Tensor:
    """An image, shape (N, C, H, W), in [0, 1], halved `level` times."""
    if level == 0:
        return image
    size = [max(1, side >> level) for side in image.shape[2:]]
    small = functional.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(0.0, 1.0)
