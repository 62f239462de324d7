"""One frozen 3 x 3 convolution, forward and backward to its input, by whichever algorithm is fastest for its shape.

In fp32 on a CPU that is Winograd's algorithm: two and a half times as fast as direct convolution in VGG-19, at a
relative error of 5e-6. NNPACK's implementation, which is part of torch, is best for large maps; our own is best for
small maps with many channels, and replaces NNPACK in a torch built without it. In bf16 on a CPU it is oneDNN's
convolution, with the weights reordered once into oneDNN's own layout; the reordering would otherwise happen at every
call and takes as long as the convolution of a small map. In a torch without oneDNN's operators, and on a GPU, it
is torch's own convolution.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu, winograd

FEWEST_CHANNELS = 64
"""Channels below which the transforms of Winograd's algorithm cost more than they save, as in VGG's first layer."""

CHANNEL_PAIRS_PER_POSITION = 32
"""Pairs of channels per position from which on NNPACK spends most of its time on transforming the weights. Measured on
AVX2."""


FEWEST_POSITIONS = 100
"""Positions of a map below which reading four times as many weights costs more than the saved multiplications."""


STRIP_FLOATS = 40_000_000
"""Floats of a strip's largest map that NNPACK processes at a time."""
SHORTEST_STRIP = 24
"""Rows of the shortest strip: the two rows that each strip computes in addition should not matter."""


class Convolution:
    """A 3 x 3 convolution of stride 1 with one pixel of zero padding and frozen weights.

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
        """Return the convolution followed by a rectifier, for features of shape (N, C, H, W), as shape (N, K, H, W)."""
        if self.by_onednn:
            # Maps of the first layers exceed the caches, so a separate rectifier would read and write them once more.
            return _onednn(features, self._packed, self.bias, "relu")
        output = self.forward(features)
        return bf16_cpu.rectify(output) if bf16_cpu.supports(output) else output.relu_()

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolution of features of shape (N, C, H, W), as shape (N, K, H, W)."""
        if self.by_onednn:
            return _onednn(features, self._packed, self.bias, "none")
        if not self._suits_winograd(features):
            output = functional.conv2d(features, self.weight, self.bias, padding=1)
            return output if self.wide or not self.by_winograd else output.contiguous()
        if self._suits_nnpack(features):
            return _nnpack(features, self._plain, self.bias)
        return winograd.convolve(features, self._transformed, self.bias)

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the input's gradient, shape (N, C, H, W), given the output's, shape (N, K, H, W)."""
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
        # This gradient depends only on the shape of the input, so an expanded scalar stands in for it.
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

    # Each form of the weights is computed when a shape first needs it, and cached.

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
        """The weights of the backward pass's convolution: channels swapped, kernels rotated by half a turn."""
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


# Any release of torch may drop its private operators. Where one is missing, another algorithm is used.
ONEDNN_OPERATORS = ("_is_mkldnn_bf16_supported", "_reorder_convolution_weight", "_convolution_pointwise")
NNPACK_FUNCTION = "_nnpack_spatial_convolution"


@functools.cache
def has_onednn_bf16() -> bool:
    """Return whether this torch has oneDNN's operators, and the processor the instructions for bf16 convolutions."""
    if not all(hasattr(torch.ops.mkldnn, name) for name in ONEDNN_OPERATORS):
        return False
    is_built_in = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]  # torch types only some
    return is_built_in and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@functools.cache
def has_nnpack() -> bool:
    """Return whether this torch has NNPACK, and NNPACK supports the processor; asking also initialises NNPACK."""
    if not hasattr(torch, NNPACK_FUNCTION):
        return False
    return bool(torch.backends.nnpack.is_available())  # type: ignore[no-untyped-call]  # torch types only some


def _positions(features: Tensor) -> int:
    return features.shape[0] * features.shape[2] * features.shape[3]


USUAL_SIZE = (1, 64, 64)
"""Images, rows and columns that oneDNN optimises the layout of the weights for; the layout works for any size."""


def _pack(weight: Tensor) -> Tensor:
    """Return weights in oneDNN's own layout, which no other operator can read."""
    count, height, width = USUAL_SIZE
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, [1, 1], [1, 1], [1, 1], 1, [count, weight.shape[1], height, width]
    )
    return packed


def _onednn(features: Tensor, packed: Tensor, bias: Tensor | None, then: str) -> Tensor:
    """Run oneDNN's convolution, fused with the activation `then`: "relu" or "none"."""
    output: Tensor = torch.ops.mkldnn._convolution_pointwise(
        features, packed, bias, [1, 1], [1, 1], [1, 1], 1, then, [], ""
    )
    return output


def _nnpack(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Run NNPACK's convolution in strips of rows, because its working memory is several times the size of its input."""
    count, _, height, width = features.shape
    rows = max(SHORTEST_STRIP, STRIP_FLOATS // (count * max(weight.shape[:2]) * width))
    if rows >= height:
        return torch._nnpack_spatial_convolution(features.contiguous(), weight, bias, [1, 1], [1, 1])
    output = features.new_empty(count, weight.shape[0], height, width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # Each strip has one more row on either side, so that the zero padding affects only rows that are cut off again.
        above, below = max(top - 1, 0), min(bottom + 1, height)
        strip = features[:, :, above:below].contiguous()
        convolved = torch._nnpack_spatial_convolution(strip, weight, bias, [1, 1], [1, 1])
        output[:, :, top:bottom] = convolved[:, :, top - above : bottom - above]
    return output
