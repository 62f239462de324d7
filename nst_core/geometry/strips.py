"""Strips: process an image a few rows at a time, so that temporary tensors stay small however large the image is."""

from collections.abc import Callable

import torch
from torch import Tensor

STRIP_PIXELS = 1 << 22
"""Pixels per strip: an image of up to 2048 x 2048 px is one strip."""


def strips(height: int, width: int) -> list[slice]:
    """Return the slices of rows that make up an image, from top to bottom."""
    rows = max(1, STRIP_PIXELS // width)
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]


def by_strips(work: Callable[..., Tensor], *images: Tensor, out: Tensor | None = None) -> Tensor:
    """Apply a pixelwise function to images of shape (N, C, H, W), strip by strip.

    Args:
        work: maps images of some rows to an image of the same rows; it must treat every pixel independently.
        images: images of the same height and width.
        out: receives the result, and may be one of the images; None allocates a new tensor.

    Returns:
        The result for all rows, `out` if given.
    """
    parts = strips(*images[0].shape[2:])
    if len(parts) == 1 and out is None:
        return work(*images)
    for rows in parts:
        done = work(*(image[:, :, rows] for image in images))
        if out is None:
            out = torch.empty(*done.shape[:2], *images[0].shape[2:], dtype=done.dtype, device=done.device)
        out[:, :, rows] = done
    assert out is not None, "an image has rows"
    return out
