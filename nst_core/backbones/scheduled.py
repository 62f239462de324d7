"""VGG forward and back to the image by a fixed schedule, without autograd.

Autograd would keep every intermediate result, copy where a loss reads a feature map, and could neither overwrite what
a rectifier makes nor choose how each gradient is computed. The network is frozen and a chain, so its gradient is short:

    forward   convolution, rectifier in place, pooling;   `read` is shown the maps that a loss wants, as they are made
    backward  the same in reverse order;                  `add` puts in the losses' own gradients on the way

With `recompute`, only what enters each block is kept, and a block's maps are made anew when the gradient gets there:
a third more work for less than half the memory.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nst_core.backbones import bf16_cpu
from nst_core.backbones.convolution import Convolution
from nst_core.backbones.pooling import Pooled, pool, pool_backward
from nst_core.backbones.vgg import VGG

Read = Callable[[str, Tensor], None]
"""Takes the features, shape (N, C, H, W), of a layer that was asked for, in the order of the layers."""

Add = Callable[[str, Tensor, Tensor | None], Tensor]
"""(layer, features, gradient so far or None) -> gradient with the layer's own loss in it; may change it in place."""

Kept = Tensor | Pooled | None


class ScheduledVGG:
    """A network as a function to differentiate with respect to the image.

    Args:
        network: fp32 or bf16, on any device.
        recompute: keep only what enters each block of layers.
    """

    def __init__(self, network: VGG, *, recompute: bool = False) -> None:
        self.network, self.recompute = network, recompute
        self.convolutions = {
            name: Convolution(module.weight, module.bias)
            for name, module in zip(network.layers, network.features, strict=True)
            if isinstance(module, torch.nn.Conv2d) and module.bias is not None
        }

    def recomputing(self, *, recompute: bool) -> "ScheduledVGG":
        """The same network and prepared weights, with or without recomputing."""
        other = object.__new__(ScheduledVGG)
        other.network, other.convolutions, other.recompute = self.network, self.convolutions, recompute
        return other

    @torch.no_grad()
    def forward(self, image: Tensor, layers: Sequence[str], pooling: str, read: Read) -> "Pass":
        """Run the network up to the deepest of some layers.

        Args:
            image: float32 RGB in [0, 1], shape (N, 3, H, W).
            layers: the names of those that `read` is shown.
            pooling: "max" or "average".
            read: may keep no reference to what it is shown: it will be overwritten.

        Raises:
            OptionsError: if there is no such layer, or the image is too small for it.
            ShapeError: if the image has another shape.
        """
        last = self.network.deepest(layers, image)
        names = self.network.layers[: last + 1]
        ran = Pass(self, frozenset(layers), pooling, _blocks(names))
        current = self.network.normalise(image)
        if self.convolutions["conv1_1"].by_winograd:
            current = current.contiguous()
        for block in ran.blocks:
            entering = current
            kept, current = self.run_block(block, current, ran, read)
            ran.entering.append(entering if self.recompute else None)
            ran.kept.append([] if self.recompute else kept)
        return ran

    def run_block(
        self, block: Sequence[str], current: Tensor, ran: "Pass", read: Read | None
    ) -> tuple[list[Kept], Tensor]:
        """One block forward: what its gradient needs of each of its layers, and its output."""
        kept: list[Kept] = []
        for name in block:
            keep: Kept = None
            if name.startswith("conv"):
                convolution, is_read = self.convolutions[name], name in ran.layers
                # What is not read is rectified at once: nobody wants it as it was.
                current = convolution.forward(current) if is_read else convolution.rectified(current)
                keep = current if is_read else None
            elif name.startswith("relu"):
                before_is_read = name.replace("relu", "conv") in ran.layers
                current = keep = _rectify(current) if before_is_read else current
            else:
                keep = pool(current, ran.pooling)
                current = keep.output
            kept.append(keep)
            if read is not None and name in ran.layers:
                read(name, current)
        return kept, current


class Pass:
    """One pass forward, which can go back once.

    Attributes:
        layers: whose features were read.
        blocks: the layers that ran; a pooling is the last of its block.
    """

    def __init__(
        self, scheduled: ScheduledVGG, layers: frozenset[str], pooling: str, blocks: tuple[tuple[str, ...], ...]
    ) -> None:
        self.scheduled, self.layers, self.pooling, self.blocks = scheduled, layers, pooling, blocks
        self.entering: list[Tensor | None] = []
        self.kept: list[list[Kept]] = []

    @torch.no_grad()
    def backward(self, add: Add) -> Tensor:
        """The gradient with respect to the image, shape (N, 3, H, W). Memory is given back on the way."""
        gradient: Tensor | None = None
        for block in reversed(self.blocks):
            entering, kept = self.entering.pop(), self.kept.pop()
            if entering is not None:
                kept, _ = self.scheduled.run_block(block, entering, self, read=None)
            del entering
            gradient = self._block_backward(block, kept, gradient, add)
        assert gradient is not None, "no layer was asked for"
        std = self.scheduled.network.std
        return gradient.to(std.dtype) / std

    def _block_backward(
        self, block: Sequence[str], kept: list[Kept], gradient: Tensor | None, add: Add
    ) -> Tensor | None:
        rectified = False
        for name in reversed(block):
            keep = kept.pop()
            if name in self.layers:
                assert isinstance(keep, Tensor), "features that a loss reads are kept"
                gradient = add(name, keep, gradient)
            if gradient is None:
                continue
            if name.startswith("relu"):
                assert isinstance(keep, Tensor), "what a rectifier makes is kept"
                if not rectified:
                    gradient = _rectify_backward(gradient, keep)
                rectified = False
            elif name.startswith("conv"):
                gradient = self.scheduled.convolutions[name].backward(gradient)
            else:
                entered = kept[-1]
                assert isinstance(keep, Pooled), "what pooling makes is kept"
                assert isinstance(entered, Tensor), "a rectifier comes before a pooling"
                rectifier = block[len(kept) - 1]
                if not keep.average and rectifier not in self.layers:
                    # What is largest of four is above zero where that of the four is: a quarter of the work.
                    gradient, rectified = _rectify_backward(gradient, keep.output), True
                gradient = pool_backward(gradient, entered, keep)
        return gradient


def _rectify(features: Tensor) -> Tensor:
    return bf16_cpu.rectify(features) if bf16_cpu.suits(features) else features.relu()


def _rectify_backward(gradient: Tensor, rectified: Tensor) -> Tensor:
    """In place: at full size each map is as large as all that L-BFGS keeps."""
    if bf16_cpu.suits(gradient, rectified):
        return bf16_cpu.rectify_backward(gradient, rectified)
    torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
    return gradient


def _blocks(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Layers cut after each pooling: the smallest maps are then what enters the blocks."""
    stops = [place for place, name in enumerate(names, start=1) if name.startswith("pool")]
    cuts = [0, *stops, len(names)]
    return tuple(tuple(names[start:stop]) for start, stop in itertools.pairwise(cuts) if start < stop)
