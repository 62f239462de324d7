"""footprint: what is predicted is as much as the engine really allocates, counted on tensors that have no memory."""

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.geometry.tiles import halvings
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.machine.footprint import MemoryPlan, extra_of, predicted
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.memory import plan_memory
from nst_core.optimize import _Batch
from nst_core.options import StylizeOptions
from nst_core.options.layers import CHANNELS_PER_BLOCK
from nst_core.scene.canvas import Canvas

GB = 1_000_000_000
PAPER = "conv1_1 conv2_1 conv3_1 conv4_1 conv5_1"
"""As they are said by whoever takes the paper's names for those of layers."""


@dataclass(frozen=True)
class Gpu:
    """A place to compute that need not be there."""

    device: str = "cuda:0"
    precision: PrecisionName = "bf16"


class Counting(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._alive:
            return
        self._alive.add(name)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, name, size)

    def _gone(self, name: int, size: int) -> None:
        self._alive.discard(name)
        self.now -= size


def counted_bytes(
    width: int, height: int, plan: MemoryPlan, convolutions: Convolutions, options: StylizeOptions
) -> int:
    """The most that tensors take at once in the first evaluations of a plan on a GPU, weights left aside."""
    device = Gpu.device
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device):
        weights = {name: tuple(one.to(device, torch.bfloat16) for one in both) for name, both in convolutions.items()}
        network = ScheduledVGG(VGG("vgg19", weights), recompute=plan.recompute)  # type: ignore[arg-type]  # pairs
        with Counting() as counting:
            content = torch.rand(plan.pairs, 3, height, width)
            target = {layer: _features(layer, plan.pairs, width, height) for layer in options.content_layers}
            sizes = {layer: CHANNELS_PER_BLOCK[halvings(layer)] for layer in options.style_layers}
            style = {layer: torch.rand(1, 1, size, size) for layer, size in sizes.items()}
            loss = PerceptualLoss(network, target, style, options, tile_px=plan.tile_px)
            _evaluate(content, loss, options, plan)
    return counting.peak


def _features(layer: str, pairs: int, width: int, height: int) -> torch.Tensor:
    channels = CHANNELS_PER_BLOCK[halvings(layer)]
    return torch.rand(pairs, channels, height >> halvings(layer), width >> halvings(layer))


def _evaluate(content: torch.Tensor, loss: PerceptualLoss, options: StylizeOptions, plan: MemoryPlan) -> None:
    # The loop around it asks the device for numbers, which there are none of.
    batch = _Batch(content.clone(), loss, Canvas(content), options, plan)
    for _ in range(2):
        batch.advance()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height", "pairs", "free", "content_layer", "style_layers"),
    [
        (6000, 6000, 1, 22, "relu4_2", ""),
        (4096, 3072, 1, 22, "relu4_2", ""),
        (2048, 2048, 1, 40, "relu4_2", ""),
        (1024, 768, 4, 30, "relu4_2", ""),
        (3000, 2000, 1, 10, "relu4_2", ""),
        (4096, 3072, 1, 12, "relu2_2", ""),
        (1024, 768, 4, 30, "relu1_1", ""),
        (4096, 3072, 1, 22, "conv4_2", PAPER),
        (2048, 2048, 1, 40, "conv4_2", PAPER),
        (2048, 2048, 1, 40, "relu4_2", "conv1_2"),
        (2048, 2048, 1, 14, "relu4_2", "conv1_2"),
        (2048, 2048, 1, 40, "relu4_2", "conv1_2 conv2_2"),
        (4096, 3072, 1, 12, "relu4_2", "conv1_2 conv2_2 conv3_4"),
    ],
)
def test_what_is_predicted_holds_what_is_allocated(
    convolutions: Convolutions, width: int, height: int, pairs: int, free: int, content_layer: str, style_layers: str
) -> None:
    """By the plan for a GPU of 24 GB, say, a picture of 6000 px fits; and no plan asks for much more than it takes."""
    own = {"style_layers": tuple(style_layers.split())} if style_layers else {}
    options = StylizeOptions.model_validate({"steps": 25, "content_layers": (content_layer,)} | own).resolved()
    extra = extra_of(options, 0, protects=False)
    plan = plan_memory(width, height, pairs, Gpu(), free * GB, extra)
    # What is freed and kept is nobody's tensor: that part is measured, not counted.
    expected = predicted(width, height, dataclasses.replace(plan, keep_freed=False), Gpu(), extra)
    counted = counted_bytes(width, height, plan, convolutions, options)

    assert counted <= expected.total - expected.base <= 1.6 * counted
    assert expected.total <= free * GB + expected.base
