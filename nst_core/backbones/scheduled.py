"""VGG's forward and backward pass to the image, by a fixed schedule instead of autograd.

Autograd would keep every intermediate result, copy feature maps that a loss reads, and could neither overwrite a
rectifier's output nor choose how each gradient is computed. The network is a frozen chain of layers, so its gradient is
short:

    forward   convolution, rectifier in place, pooling; `read` receives the maps that a loss needs
    backward  the same in reverse order;                `add` adds the losses' own gradients

With `recompute`, only the input of each block is kept, and a block's maps are recomputed when the backward pass reaches
it: a third more work for less than half the memory.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nst_core.backbones import bf16_cpu
from nst_core.backbones.convolution import Convolution
from nst_core.backbones.pooling import Pooled, pool, pool_backward
from nst_core.backbones.vgg import VGG

ReadFeatures = Callable[[str, Tensor], None]
"""A callback that receives the name and the features, shape (N, C, H, W), of each requested layer, in layer order."""

AddGradient = Callable[[str, Tensor, Tensor | None], Tensor]
"""A callback (layer, features, gradient so far or None) -> gradient including that of the layer's own loss; it may
change the gradient in place."""

Kept = Tensor | Pooled | None
"""What a layer keeps for its gradient."""


class ScheduledVGG:
    """A network as a function that can be differentiated with respect to the image.

    Args:
        network: an fp32 or bf16 network, on any device.
        recompute: whether to keep only the input of each block of layers.
    """

    def __init__(self, network: VGG, *, recompute: bool = False) -> None:
        self.network, self.recompute = network, recompute
        self.convolutions = {
            name: Convolution(module.weight, module.bias)
            for name, module in zip(network.layers, network.features, strict=True)
            if isinstance(module, torch.nn.Conv2d) and module.bias is not None
        }

    def recomputing(self, *, recompute: bool) -> "ScheduledVGG":
        """Return the same network, sharing its prepared weights, with or without recomputing."""
        other = object.__new__(ScheduledVGG)
        other.network, other.convolutions, other.recompute = self.network, self.convolutions, recompute
        return other

    @torch.no_grad()
    def forward(self, image: Tensor, layers: Sequence[str], pooling: str, read: ReadFeatures) -> "Pass":
        """Run the network up to the deepest of the given layers.

        Args:
            image: float32 RGB in [0, 1], shape (N, 3, H, W).
            layers: the names of the layers whose features `read` receives.
            pooling: "max" or "average".
            read: the callback; it must keep no reference to the features, which are overwritten later.

        Raises:
            OptionsError: if there is no such layer, or the image is too small for it.
            ShapeError: if the image has another shape.
        """
        last = self.network.deepest(layers, image)
        layer_names = self.network.layers[: last + 1]
        record = Pass(self, frozenset(layers), pooling, _blocks(layer_names))
        current = self.network.normalise(image)
        if self.convolutions["conv1_1"].by_winograd:
            current = current.contiguous()
        for block in record.blocks:
            entering = current
            kept, current = self.run_block(block, current, record, read)
            record.entering.append(entering if self.recompute else None)
            record.kept.append([] if self.recompute else kept)
        return record

    def run_block(
        self, block: Sequence[str], current: Tensor, record: "Pass", read: ReadFeatures | None
    ) -> tuple[list[Kept], Tensor]:
        """Run one block forward, and return what the gradient of each of its layers needs, and the block's output."""
        kept: list[Kept] = []
        for name in block:
            keep: Kept = None
            if name.startswith("conv"):
                convolution, is_read = self.convolutions[name], name in record.layers
                # An output that no loss reads is rectified at once.
                current = convolution.forward(current) if is_read else convolution.rectified(current)
                keep = current if is_read else None
            elif name.startswith("relu"):
                before_is_read = name.replace("relu", "conv") in record.layers
                current = keep = _rectify(current) if before_is_read else current
            else:
                keep = pool(current, record.pooling)
                current = keep.output
            kept.append(keep)
            if read is not None and name in record.layers:
                read(name, current)
        return kept, current


class Pass:
    """One forward pass, whose backward pass can run once.

    Attributes:
        scheduled: the network that ran.
        layers: the layers whose features were read.
        pooling: "max" or "average".
        blocks: the layers that ran, in blocks that end with a pooling.
        entering: the input of each block if maps are recomputed, else None.
        kept: for each block, what the gradient of each of its layers needs; empty if maps are recomputed.
    """

    def __init__(
        self, scheduled: ScheduledVGG, layers: frozenset[str], pooling: str, blocks: tuple[tuple[str, ...], ...]
    ) -> None:
        self.scheduled, self.layers, self.pooling, self.blocks = scheduled, layers, pooling, blocks
        self.entering: list[Tensor | None] = []
        self.kept: list[list[Kept]] = []

    @torch.no_grad()
    def backward(self, add: AddGradient) -> Tensor:
        """Return the gradient with respect to the image, shape (N, 3, H, W), freeing memory on the way."""
        gradient: Tensor | None = None
        for block in reversed(self.blocks):
            entering, kept = self.entering.pop(), self.kept.pop()
            if entering is not None:
                kept, _ = self.scheduled.run_block(block, entering, self, read=None)
            del entering
            gradient = self._block_backward(block, kept, gradient, add)
        assert gradient is not None, "no layer was requested"
        std = self.scheduled.network.std
        return gradient.to(std.dtype) / std

    def _block_backward(
        self, block: Sequence[str], kept: list[Kept], gradient: Tensor | None, add: AddGradient
    ) -> Tensor | None:
        already_rectified = False
        for name in reversed(block):
            keep = kept.pop()
            if name in self.layers:
                assert isinstance(keep, Tensor), "features that a loss reads are kept"
                gradient = add(name, keep, gradient)
            if gradient is None:
                continue
            if name.startswith("relu"):
                assert isinstance(keep, Tensor), "what a rectifier makes is kept"
                if not already_rectified:
                    gradient = _rectify_backward(gradient, keep)
                already_rectified = False
            elif name.startswith("conv"):
                gradient = self.scheduled.convolutions[name].backward(gradient)
            else:
                entered = kept[-1]
                assert isinstance(keep, Pooled), "what pooling makes is kept"
                assert isinstance(entered, Tensor), "a rectifier comes before a pooling"
                rectifier = block[len(kept) - 1]
                if not keep.average and rectifier not in self.layers:
                    # The maximum is positive exactly where its source is, so the rectifier's gradient can be applied
                    # to the pooled map, at a quarter of the work.
                    gradient, already_rectified = _rectify_backward(gradient, keep.output), True
                gradient = pool_backward(gradient, entered, keep)
        return gradient


def _rectify(features: Tensor) -> Tensor:
    return bf16_cpu.rectify(features) if bf16_cpu.supports(features) else features.relu()


def _rectify_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """Apply a rectifier's gradient in place, because at full size each map is as large as all that L-BFGS keeps."""
    if bf16_cpu.supports(gradient, rectified):
        return bf16_cpu.rectify_backward(gradient, rectified)
    torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
    return gradient


def _blocks(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Split layers after each pooling, where the maps are smallest, so that the inputs of the blocks are small."""
    ends = [index for index, name in enumerate(names, start=1) if name.startswith("pool")]
    cuts = [0, *ends, len(names)]
    return tuple(tuple(names[start:stop]) for start, stop in itertools.pairwise(cuts) if start < stop)
