"""One frozen 3 x 3 convolution, forward and back to its input, by whichever algorithm is fastest for its shape.

In fp32 on a CPU that is Winograd's: two and a half times as fast as direct convolution in VGG-19, at a relative error
of 5e-6. NNPACK's, which torch ships, is best for large maps; our own for small maps of many channels, and where torch
was built without NNPACK. In bf16 on a CPU it is oneDNN's, with the weights in the order that it wants: brought there
once instead of at every call, which takes as long as a small map's convolution. On a GPU it is the library's own.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu, winograd

FEWEST_CHANNELS = 64
"""Below this the transforms of Winograd's algorithm cost more than they save: VGG's first layer."""

CHANNEL_PAIRS_PER_POSITION = 32
"""From here on the transform of the weights is what NNPACK spends its time on. Measured on AVX2."""


FEWEST_POSITIONS = 100
"""Of a map; below this, reading four times as many weights costs more than the multiplications it saves."""


STRIP_FLOATS = 40_000_000
SHORTEST_STRIP = 24
"""Rows; the two that each strip works out in vain should not count."""


class Convolution:
    """A 3 x 3 convolution of stride 1 with one pixel of zeros around, its weights frozen.

    Args:
        weight: shape (K, C, 3, 3).
        bias: shape (K,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.detach(), bias.detach()
        self.by_winograd = weight.device.type == "cpu" and weight.dtype == torch.float32
        self.wide = min(weight.shape[:2]) >= FEWEST_CHANNELS
        self.by_onednn = weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and has_onednn_bf16()

    def rectified(self, features: Tensor) -> Tensor:
        """The convolution and the rectifier after it, shape (N, C, H, W) to (N, K, H, W)."""
        if self.by_onednn:
            # A map of the first layers is larger than the caches: a rectifier of its own reads and writes it once more.
            return _onednn(features, self._packed, self.bias, "relu")
        output = self.forward(features)
        return bf16_cpu.rectify(output) if bf16_cpu.suits(output) else output.relu_()

    def forward(self, features: Tensor) -> Tensor:
        """Shape (N, C, H, W) to (N, K, H, W)."""
        if self.by_onednn:
            return _onednn(features, self._packed, self.bias, "none")
        if not self._suits_winograd(features):
            output = functional.conv2d(features, self.weight, self.bias, padding=1)
            return output if self.wide or not self.by_winograd else output.contiguous()
        if self._suits_nnpack(features):
            return _nnpack(features, self._plain, self.bias)
        return winograd.convolve(features, self._transformed, self.bias)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to the input, shape (N, C, H, W), given that to the output, shape (N, K, H, W)."""
        if self.by_onednn:
            return _onednn(gradient, self._flipped_packed, None, "none")
        if not self._suits_winograd(gradient):
            return self._library_backward(gradient)
        if self._suits_nnpack(gradient):
            return _nnpack(gradient, self._flipped, self._no_bias)
        return winograd.convolve(gradient, self._flipped_transformed, None)

    def _suits_winograd(self, features: Tensor) -> bool:
        return self.by_winograd and self.wide and _positions(features) >= FEWEST_POSITIONS

    def _suits_nnpack(self, features: Tensor) -> bool:
        filters, channels = self.weight.shape[:2]
        return has_nnpack() and filters * channels < CHANNEL_PAIRS_PER_POSITION * _positions(features)

    def _library_backward(self, gradient: Tensor) -> Tensor:
        # Only the shape of the input matters to this gradient: an expanded scalar stands for it.
        shape = (gradient.shape[0], self.weight.shape[1], *gradient.shape[2:])
        features = gradient.new_empty(1).expand(shape)
        if gradient.is_contiguous(memory_format=torch.channels_last):
            features = torch.empty(
                shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last
            )
        back, _, _ = torch.ops.aten.convolution_backward(
            gradient,
            features,
            self.weight,
            [self.weight.shape[0]],
            [1, 1],
            [1, 1],
            [1, 1],
            False,  # transposed
            [0, 0],
            1,
            [True, False, False],
        )
        result: Tensor = back
        return result

    # Each is made when a shape first wants it, and kept.

    @functools.cached_property
    def _packed(self) -> Tensor:
        return _pack(self.weight)

    @functools.cached_property
    def _flipped_packed(self) -> Tensor:
        return _pack(self._flipped)

    @functools.cached_property
    def _plain(self) -> Tensor:
        return self.weight.contiguous()

    @functools.cached_property
    def _flipped(self) -> Tensor:
        """Of the convolution that takes gradients back: channels swapped, turned by half a turn."""
        return self.weight.flip(2, 3).transpose(0, 1).contiguous()

    @functools.cached_property
    def _no_bias(self) -> Tensor:
        return self.bias.new_zeros(self.weight.shape[1])

    @functools.cached_property
    def _transformed(self) -> Tensor:
        return winograd.transform_weights(self.weight)

    @functools.cached_property
    def _flipped_transformed(self) -> Tensor:
        return winograd.transform_weights(self._flipped)


@functools.cache
def has_onednn_bf16() -> bool:
    """Whether torch was built with oneDNN and the processor has what its bf16 convolutions need."""
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@functools.cache
def has_nnpack() -> bool:
    """Whether torch was built with NNPACK and the processor is one that it knows; asking also starts it up."""
    return bool(torch.backends.nnpack.is_available())  # type: ignore[no-untyped-call]  # torch types only some


def _positions(features: Tensor) -> int:
    return features.shape[0] * features.shape[2] * features.shape[3]


USUAL_SIZE = (1, 64, 64)
"""Pictures, rows and columns that oneDNN is told of when it chooses the order of weights; it takes any."""


def _pack(weight: Tensor) -> Tensor:
    """Weights in oneDNN's own order, which no other operator reads."""
    count, height, width = USUAL_SIZE
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, [1, 1], [1, 1], [1, 1], 1, [count, weight.shape[1], height, width]
    )
    return packed


def _onednn(features: Tensor, packed: Tensor, bias: Tensor | None, then: str) -> Tensor:
    """OneDNN's convolution, and on the way "relu" or "none"."""
    output: Tensor = torch.ops.mkldnn._convolution_pointwise(
        features, packed, bias, [1, 1], [1, 1], [1, 1], 1, then, [], ""
    )
    return output


def _nnpack(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """NNPACK's convolution, in strips of rows: its working memory is several times what it works on at once."""
    count, _, height, width = features.shape
    rows = max(SHORTEST_STRIP, STRIP_FLOATS // (count * max(weight.shape[:2]) * width))
    if rows >= height:
        return torch._nnpack_spatial_convolution(features.contiguous(), weight, bias, [1, 1], [1, 1])
    output = features.new_empty(count, weight.shape[0], height, width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # With a row more on either side, which the convolution's own zeros then fall on, and which are cut off again.
        above, below = max(top - 1, 0), min(bottom + 1, height)
        strip = features[:, :, above:below].contiguous()
        done = torch._nnpack_spatial_convolution(strip, weight, bias, [1, 1], [1, 1])
        output[:, :, top:bottom] = done[:, :, top - above : bottom - above]
    return output
