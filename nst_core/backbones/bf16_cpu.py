"""Rectifiers, max pooling and their gradients for bf16 maps on a CPU, computed on the bits as 16-bit integers.

Non-negative bf16 numbers have the same order as their 16 bits read as an integer, and negative numbers are negative
integers. So maxima, rectifiers and masks need no floating point arithmetic, for which a processor whose only bf16
instruction is the matrix product converts every number to fp32 and back. This is two to four times as fast on maps that
are larger than the caches, and for them it also avoids the eight bytes per output that torch's pooling stores. Nothing
is rounded: the results equal those of floating point arithmetic bit for bit.

Maps are bf16, of shape (N, C, H, W), in channels_last memory order. A map called rectified contains no negative number
and no negative zero, which as an integer is the smallest number of all.
"""

import torch
from torch import Tensor

from nst_core.backbones.windows import column_halves, crop_to_even, row_halves

CHUNK = 1 << 19
"""Numbers processed at a time, so that temporaries stay in the cache."""

BAND = 1 << 20
"""Bytes of a map that are pooled at a time."""

SIGN = 15
"""Shifting a 16-bit integer right by this many bits gives -1 (all bits set) if it was negative, else 0."""


def supports(*maps: Tensor) -> bool:
    """Return whether all these maps can be processed as integers."""
    return all(
        features.dtype == torch.bfloat16
        and features.device.type == "cpu"
        and features.is_contiguous(memory_format=torch.channels_last)
        for features in maps
    )


def rectify(features: Tensor) -> Tensor:
    """Return a rectified copy, in which no zero is negative, unlike in the result of torch's own rectifier."""
    return _integers(features).clamp_min(0).view(features.dtype)


def rectify_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Set a gradient to zero, in place, wherever the rectified map is zero."""
    parts = (torch.split(_in_memory_order(_integers(tensor)), CHUNK) for tensor in (gradient, rectified))
    for part, rectified_part in zip(*parts, strict=True):
        part.mul_(rectified_part.clamp_max(1))
    return gradient


def max_pool(rectified: Tensor) -> Tensor:
    """Return the maxima of 2 x 2 windows; an odd last row or column is ignored."""
    count, channels, height, width = rectified.shape
    shape = count, channels, height // 2, width // 2
    output = torch.empty(shape, dtype=rectified.dtype, device=rectified.device, memory_format=torch.channels_last)
    for band, pooled in _bands(crop_to_even(_integers(rectified)), _integers(output)):
        torch.maximum(*column_halves(torch.maximum(*row_halves(band))), out=pooled)
    return output


def max_pool_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Return the gradient with respect to `rectified`, given its pooled map's; one of equal values gets all of it."""
    height, width = rectified.shape[2:]
    back = torch.empty_like(rectified) if height % 2 == width % 2 == 0 else torch.zeros_like(rectified)
    gradient_integers, back_integers = _integers(gradient), crop_to_even(_integers(back))
    rectified_integers = crop_to_even(_integers(rectified))
    parts = (_bands(rectified_integers, gradient_integers), _bands(back_integers, gradient_integers))
    for (band, pooled_gradient), (band_back, _) in zip(*parts, strict=True):
        top, bottom = row_halves(band)
        row_gradient = torch.empty_like(top)
        _split(pooled_gradient, *column_halves(torch.maximum(top, bottom)), *column_halves(row_gradient))
        _split(row_gradient, top, bottom, *row_halves(band_back))
    return back


def _split(gradient: Tensor, first: Tensor, second: Tensor, to_first: Tensor, to_second: Tensor) -> None:
    """Write each gradient to the first of two outputs where `first` is the larger, else to the second."""
    # The difference of two non-negative integers does not overflow.
    is_first = torch.sub(second, first).bitwise_right_shift_(SIGN)
    torch.bitwise_and(gradient, is_first, out=to_first)
    torch.sub(gradient, to_first, out=to_second)


def _integers(tensor: Tensor) -> Tensor:
    """Return a view of the same memory as 16-bit integers, with the same order of dimensions."""
    return tensor.view(torch.int16)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """Return all numbers of a map as one row in memory order, shape (N H W C,), without copying."""
    return tensor.permute(0, 2, 3, 1).flatten()


def _bands(whole: Tensor, pooled: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return bands of rows of a map, each with the corresponding band of its pooled map."""
    count, channels, _, width = whole.shape
    rows = max(1, BAND // (2 * 2 * count * width * channels))
    return list(zip(torch.split(whole, 2 * rows, dim=2), torch.split(pooled, rows, dim=2), strict=True))
