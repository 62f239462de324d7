"""Convert sRGB images, 8-bit or float, to float tensors in [0, 1] and back."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nst_core.errors import DivergedError, ShapeError


def to_tensor(picture: Image.Image) -> Tensor:
    """Convert an image of mode RGB to a float32 tensor in [0, 1], shape (1, 3, H, W)."""
    if picture.mode != "RGB":
        raise ShapeError(f"expected an image of mode RGB, got {picture.mode}")
    array = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(array).permute(2, 0, 1)[None].float().div(255.0)


def from_array(pixels: NDArray[np.float32]) -> Tensor:
    """Convert an array of shape (H, W, 3) to a float32 tensor of shape (1, 3, H, W)."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def check_image(image: Tensor, what: str, channels: int = 3) -> None:
    """Check that a tensor has the shape and dtype of an image.

    Args:
        image: float32, shape (1, channels, H, W).
        what: the image's name for the message.
        channels: the expected number of channels.

    Raises:
        ShapeError: if it has another shape or dtype; the message names both.
    """
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[:2] != (1, channels):
        raise ShapeError(f"{what}: expected a tensor of shape (1, {channels}, H, W), got {shape}")
    if image.dtype != torch.float32:
        raise ShapeError(f"{what}: expected a tensor of torch.float32, got {image.dtype}")


def check_range(image: Tensor, what: str) -> None:
    """Check that all values of an image lie in [0, 1].

    Raises:
        ShapeError: if they do not.
    """
    low, high = (float(value) for value in image.detach().aminmax())
    if not (low >= 0.0 and high <= 1.0):  # also true for NaN
        advice = ": divide levels of 8 bits by 255" if high > 1.0 else ""
        raise ShapeError(f"{what}: expected values from 0 to 1, found {low:g} to {high:g}{advice}")


def to_array(pixels: Tensor) -> NDArray[np.float32]:
    """Convert a tensor of shape (1, 3, H, W) to a float32 array of shape (H, W, 3), with values clamped to [0, 1].

    Raises:
        DivergedError: if any value is NaN or infinite; clamping would turn those into a plain black image.
    """
    if pixels.dim() != 4 or pixels.shape[:2] != (1, 3):
        raise ShapeError(f"expected a tensor of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    if not bool(torch.isfinite(pixels).all()):
        raise DivergedError(
            "the pastiche holds NaN or infinite pixels, so there is no image to save. Try lower weights"
        )
    array: NDArray[np.float32] = pixels[0].detach().float().clamp(0.0, 1.0).permute(1, 2, 0).contiguous().cpu().numpy()
    return array


def to_picture(pixels: Tensor) -> Image.Image:
    """Convert a tensor of shape (1, 3, H, W) to an image of mode RGB, with values clamped to [0, 1] and rounded.

    Raises:
        DivergedError: if any value is NaN or infinite, as for `to_array`.
    """
    return Image.fromarray(np.round(to_array(pixels) * np.float32(255.0)).astype(np.uint8))
