"""8-bit sRGB pictures <-> float tensors in [0, 1]."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nst_core.errors import DivergedError, ShapeError


def to_tensor(picture: Image.Image) -> Tensor:
    """Float32, shape (1, 3, H, W), in [0, 1], from a picture of mode RGB."""
    if picture.mode != "RGB":
        raise ShapeError(f"expected a picture of mode RGB, got {picture.mode}")
    array = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(array).permute(2, 0, 1)[None].float().div(255.0)


def to_picture(pixels: Tensor) -> Image.Image:
    """A picture of mode RGB from a tensor of shape (1, 3, H, W); values are clamped to [0, 1] and rounded.

    Raises:
        DivergedError: if any value is NaN or infinite; clamping would turn those into a plain black picture.
    """
    if pixels.dim() != 4 or pixels.shape[:2] != (1, 3):
        raise ShapeError(f"expected a tensor of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    if not bool(torch.isfinite(pixels).all()):
        raise DivergedError("the pastiche holds NaN or infinite pixels, so there is no picture to save")
    levels = pixels[0].detach().float().clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())
