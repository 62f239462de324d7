"""2 x 2 pooling and its gradient, without autograd.

Torch's own max pooling is slow on a CPU, where it also stores eight bytes per output. In (N, C, H, W) memory order,
taking maxima of rows and then of columns does the same in a tenth of the time; bf16 maps in channels_last order are
pooled by `bf16_cpu`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu
from nst_core.backbones.windows import column_halves, crop_to_even, row_halves

AVERAGE_POOLING_SCALE = 1.45
"""Ratio of max to average pooling in VGG-19, measured on photographs and paintings: with it the root mean square of
relu2_1 to relu4_2 stays within about a tenth of its value with max pooling, and that of relu5_1 within a third."""


CHUNK_FLOATS = 8_000_000
"""Floats of features whose gradient is computed at a time: the temporaries take as much memory again, and more."""


def average_pool(features: Tensor) -> Tensor:
    """Return average pooling times `AVERAGE_POOLING_SCALE`, which keeps activations at the size later layers expect.

    Gatys et al. (2016) replace max by average pooling without rescaling; the activations of deeper layers then fade.
    """
    return functional.avg_pool2d(features, kernel_size=2, stride=2) * AVERAGE_POOLING_SCALE


@dataclass(frozen=True)
class Pooled:
    """Pooled features, and the data that their gradient needs.

    Attributes:
        output: the pooled features, shape (N, C, H // 2, W // 2).
        indices: which input was the largest, as torch's own max pooling reports it; None for the other methods.
        average: whether they were pooled by average.
    """

    output: Tensor
    indices: Tensor | None
    average: bool


def pool(features: Tensor, pooling: str) -> Pooled:
    """Pool rectified features of shape (N, C, H, W) by "max" or "average".

    As in VGG, an odd last row or column is ignored.
    """
    if pooling == "average":
        return Pooled(average_pool(features), None, average=True)
    if bf16_cpu.supports(features):
        return Pooled(bf16_cpu.max_pool(features), None, average=False)
    if _can_pool_by_halves(features):
        rows = torch.maximum(*row_halves(crop_to_even(features)))
        return Pooled(torch.maximum(*column_halves(rows)), None, average=False)
    output, indices = functional.max_pool2d(features, 2, 2, return_indices=True)
    return Pooled(output, indices, average=False)


def pool_backward(gradient: Tensor, features: Tensor, pooled: Pooled) -> Tensor:
    """Return the gradient with respect to `features`, given that of the pooled features.

    If several values of a window are equal, one of them gets the whole gradient.
    """
    if pooled.average:
        back: Tensor = torch.ops.aten.avg_pool2d_backward(
            gradient * AVERAGE_POOLING_SCALE,
            features,
            [2, 2],
            [2, 2],
            [0, 0],
            False,  # ceil_mode
            True,  # count_include_pad
            None,
        )
        return back
    if pooled.indices is not None:
        by_index: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient,
            features,
            [2, 2],
            [2, 2],
            [0, 0],
            [1, 1],
            False,  # ceil_mode
            pooled.indices,
        )
        return by_index
    if bf16_cpu.supports(features):
        return bf16_cpu.max_pool_backward(gradient.contiguous(memory_format=torch.channels_last), features)
    return _max_backward(gradient, features)


def _can_pool_by_halves(features: Tensor) -> bool:
    return features.device.type == "cpu" and features.is_contiguous()


def _max_backward(gradient: Tensor, features: Tensor) -> Tensor:
    whole = crop_to_even(features)
    back = torch.empty_like(features) if whole.shape == features.shape else torch.zeros_like(features)
    channels = max(1, CHUNK_FLOATS // (features.shape[0] * features.shape[2] * features.shape[3]))
    parts = (torch.split(tensor, channels, dim=1) for tensor in (gradient, whole, crop_to_even(back)))
    for part in zip(*parts, strict=True):
        _fill_max_backward(*part)
    return back


def _fill_max_backward(gradient: Tensor, features: Tensor, back: Tensor) -> None:
    top, bottom = row_halves(features)
    left, right = column_halves(torch.maximum(top, bottom))
    by_rows = gradient.new_empty(top.shape)
    _split(gradient, left >= right, *column_halves(by_rows))
    _split(by_rows, top >= bottom, *row_halves(back))


def _split(gradient: Tensor, to_first: Tensor, first: Tensor, second: Tensor) -> None:
    torch.mul(gradient, to_first, out=first)
    torch.sub(gradient, first, out=second)
