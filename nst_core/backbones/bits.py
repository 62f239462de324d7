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
    return _map(_integers(features).clamp_min(0))


def rectify_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Zero a gradient, in place, wherever nothing was let through."""
    parts = (torch.split(_integers(one).flatten(), CHUNK) for one in (gradient, rectified))
    for part, of_rectified in zip(*parts, strict=True):
        part.mul_(of_rectified.clamp_max(1))
    return gradient


def max_pool(rectified: Tensor) -> Tensor:
    """Maxima of windows of 2 x 2; an odd last row or column is left out."""
    even = _even(_integers(rectified))
    count, height, width, channels = even.shape
    output = even.new_empty(count, height // 2, width // 2, channels)
    for band, pooled in _bands(even, output):
        torch.maximum(*_column_halves(torch.maximum(*_row_halves(band))), out=pooled)
    return _map(output)


def max_pool_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Gradient with respect to `rectified`, given that of its pooled map; of equal values one takes the whole."""
    height, width = rectified.shape[2:]
    back = torch.empty_like(rectified) if height % 2 == width % 2 == 0 else torch.zeros_like(rectified)
    even, even_back, pooled = _even(_integers(rectified)), _even(_integers(back)), _integers(gradient)
    for (band, of_pooled), (of_back, _) in zip(_bands(even, pooled), _bands(even_back, pooled), strict=True):
        top, bottom = _row_halves(band)
        of_rows = torch.empty_like(top)
        _split(of_pooled, *_column_halves(torch.maximum(top, bottom)), *_column_halves(of_rows))
        _split(of_rows, top, bottom, *_row_halves(of_back))
    return back


def _split(gradient: Tensor, first: Tensor, second: Tensor, to_first: Tensor, to_second: Tensor) -> None:
    """Give each gradient to the first of two where that is larger, else to the second."""
    # The difference of two integers that are not negative does not overflow.
    is_first = torch.sub(second, first).bitwise_right_shift_(SIGN)
    torch.bitwise_and(gradient, is_first, out=to_first)
    torch.sub(gradient, to_first, out=to_second)


def _integers(one: Tensor) -> Tensor:
    """Shape (N, H, W, C): the same memory."""
    return one.permute(0, 2, 3, 1).view(torch.int16)


def _map(integers: Tensor) -> Tensor:
    return integers.view(torch.bfloat16).permute(0, 3, 1, 2)


def _even(integers: Tensor) -> Tensor:
    height, width = integers.shape[1:3]
    return integers[:, : height // 2 * 2, : width // 2 * 2]


def _row_halves(integers: Tensor) -> tuple[Tensor, Tensor]:
    return integers[:, ::2], integers[:, 1::2]


def _column_halves(integers: Tensor) -> tuple[Tensor, Tensor]:
    return integers[:, :, ::2], integers[:, :, 1::2]


def _bands(even: Tensor, pooled: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Bands of rows of a map with those of its pooled one."""
    count, _, width, channels = even.shape
    rows = max(1, BAND // (2 * 2 * count * width * channels))
    return list(zip(torch.split(even, 2 * rows, dim=1), torch.split(pooled, rows, dim=1), strict=True))
