"""Rectifiers and max pooling of bf16 maps on a CPU, by the integers that their bits are.

A bf16 number that is not negative is ordered as its 16 bits are, read as an integer, and a negative number is a
negative integer. So maxima, rectifiers and masks need no arithmetic in floats, for which a processor that only
multiplies bf16 matrices turns every number into fp32 and back: two to four times as fast on maps that are larger than
the caches, where it also does without the eight bytes per output that torch's pooling stores. Nothing is rounded: the
results are those of the floats, bit for bit.

Maps are of shape (N, C, H, W), bf16, in channels_last order; where one is called rectified, nothing in it is negative,
nor the zero with a sign, which as an integer is the smallest of all.
"""

import torch
from torch import Tensor

from nst_core.backbones.windows import column_halves, even, row_halves

CHUNK = 1 << 19
"""Numbers worked on at a time, so that what is made on the way stays in the cache."""

BAND = 1 << 20
"""Bytes of a map pooled at a time."""

SIGN = 15
"""An integer of 16 bits shifted right by so many is -1 (all bits set) where it was negative, else 0."""


def suits(*maps: Tensor) -> bool:
    """Whether maps can be worked on by their bits."""
    return all(
        one.dtype == torch.bfloat16
        and one.device.type == "cpu"
        and one.is_contiguous(memory_format=torch.channels_last)
        for one in maps
    )


def rectify(features: Tensor) -> Tensor:
    """A rectified copy; no zero in it has a sign, as torch's own may."""
    return _integers(features).clamp_min(0).view(features.dtype)


def rectify_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Zero a gradient, in place, wherever nothing was let through."""
    parts = (torch.split(_in_memory_order(_integers(one)), CHUNK) for one in (gradient, rectified))
    for part, of_rectified in zip(*parts, strict=True):
        part.mul_(of_rectified.clamp_max(1))
    return gradient


def max_pool(rectified: Tensor) -> Tensor:
    """Maxima of windows of 2 x 2; an odd last row or column is left out."""
    count, channels, height, width = rectified.shape
    shape = count, channels, height // 2, width // 2
    output = torch.empty(shape, dtype=rectified.dtype, device=rectified.device, memory_format=torch.channels_last)
    for band, pooled in _bands(even(_integers(rectified)), _integers(output)):
        torch.maximum(*column_halves(torch.maximum(*row_halves(band))), out=pooled)
    return output


def max_pool_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Gradient with respect to `rectified`, given that of its pooled map; of equal values one takes the whole."""
    height, width = rectified.shape[2:]
    back = torch.empty_like(rectified) if height % 2 == width % 2 == 0 else torch.zeros_like(rectified)
    of_rectified, of_gradient, of_all_back = even(_integers(rectified)), _integers(gradient), even(_integers(back))
    parts = (_bands(of_rectified, of_gradient), _bands(of_all_back, of_gradient))
    for (band, of_pooled), (of_back, _) in zip(*parts, strict=True):
        top, bottom = row_halves(band)
        of_rows = torch.empty_like(top)
        _split(of_pooled, *column_halves(torch.maximum(top, bottom)), *column_halves(of_rows))
        _split(of_rows, top, bottom, *row_halves(of_back))
    return back


def _split(gradient: Tensor, first: Tensor, second: Tensor, to_first: Tensor, to_second: Tensor) -> None:
    """Give each gradient to the first of two where that is larger, else to the second."""
    # The difference of two integers that are not negative does not overflow.
    is_first = torch.sub(second, first).bitwise_right_shift_(SIGN)
    torch.bitwise_and(gradient, is_first, out=to_first)
    torch.sub(gradient, to_first, out=to_second)


def _integers(one: Tensor) -> Tensor:
    """The same memory, and the same order of dimensions."""
    return one.view(torch.int16)


def _in_memory_order(one: Tensor) -> Tensor:
    """All numbers of a map, shape (N H W C,), without a copy."""
    return one.permute(0, 2, 3, 1).flatten()


def _bands(whole: Tensor, pooled: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Bands of rows of a map with those of its pooled one."""
    count, channels, _, width = whole.shape
    rows = max(1, BAND // (2 * 2 * count * width * channels))
    return list(zip(torch.split(whole, 2 * rows, dim=2), torch.split(pooled, rows, dim=2), strict=True))
