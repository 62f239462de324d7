"""Rows of a picture at a time: what is made on the way is then small beside the picture, however large that is."""

from collections.abc import Callable

import torch
from torch import Tensor

STRIP_PIXELS = 1 << 22
"""Of a strip: a picture of up to 2048 x 2048 px is one."""


def strips(height: int, width: int) -> list[slice]:
    """Rows of a picture, from the first to the last."""
    rows = max(1, STRIP_PIXELS // width)
    return [slice(first, min(first + rows, height)) for first in range(0, height, rows)]


def by_strips(work: Callable[..., Tensor], *images: Tensor, out: Tensor | None = None) -> Tensor:
    """What some work, that takes every pixel by itself, makes of images of shape (N, C, H, W).

    Args:
        work: images of some rows -> an image of the same rows.
        images: of one height and width.
        out: takes the result, and may be one of the images; None is made.
    """
    parts = strips(*images[0].shape[2:])
    if len(parts) == 1 and out is None:
        return work(*images)
    for rows in parts:
        done = work(*(image[:, :, rows] for image in images))
        if out is None:
            out = torch.empty(*done.shape[:2], *images[0].shape[2:], dtype=done.dtype, device=done.device)
        out[:, :, rows] = done
    assert out is not None, "a picture has rows"
    return out
