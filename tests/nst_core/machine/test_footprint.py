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

from nst_core.backbones.backbone import Backbone
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.geometry.tiles import halvings
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.machine.footprint import Extra, MemoryPlan, extra_of, predicted, predicted_bytes
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.memory import plan_memory
from nst_core.optimize import _Batch
from nst_core.options import StylizeOptions
from nst_core.options.layers import CHANNELS_PER_BLOCK
from nst_core.scene.canvas import Canvas

GB = 1_000_000_000
OPTIONS = StylizeOptions().resolved()
PAPER = "conv1_1 conv2_1 conv3_1 conv4_1 conv5_1"
"""As they are said by whoever takes the paper's names for those of layers."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as a device name, which need not exist."""

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
    """The prediction is never below what is allocated, and no plan is predicted to take much more than it does."""
    own = {"style_layers": tuple(style_layers.split())} if style_layers else {}
    options = StylizeOptions.model_validate({"steps": 25, "content_layers": (content_layer,)} | own).resolved()
    extra = extra_of(options, 0, protects=False)
    plan = plan_memory(width, height, pairs, Gpu(), free * GB, extra)
    # What is freed and kept is nobody's tensor: that part is measured, not counted.
    expected = predicted(width, height, dataclasses.replace(plan, keep_freed=False), Gpu(), extra)
    counted = counted_bytes(width, height, plan, convolutions, options)

    assert counted <= expected.total - expected.base <= 1.6 * counted
    assert expected.total <= free * GB + expected.base


@pytest.mark.parametrize(
    ("precision", "recompute", "history", "half_history", "of_network", "pictures"),
    [
        # Kept maps and what convolutions take; five copies, six of one piece, two per remembered pair.
        ("fp32", False, 20, False, 320 + 40, 2 * 20 + 5 + 6),
        ("bf16", False, 20, False, 320 + 40, 2 * 20 + 5 + 6),
        ("fp32", True, 5, False, 32 + 256 + 40, 2 * 5 + 5 + 6),
        ("bf16", False, 10, True, 320 + 40, 10 + 5 + 6),
    ],
)
def test_bytes_per_pixel(
    backbone: Backbone,
    precision: str,
    recompute: bool,
    history: int,
    half_history: bool,
    of_network: int,
    pictures: int,
) -> None:
    """A picture is three fp32 numbers per pixel; the network's numbers are four bytes in fp32 and two in bf16."""
    network = dataclasses.replace(backbone, precision=precision)
    plan = MemoryPlan(2, recompute, history, keep_freed=False, half_history=half_history)
    expected = predicted(300, 200, plan, network)

    assert expected.base == 1_500_000_000
    assert expected.optimizer == 2 * 300 * 200 * 12 * pictures
    # What is given, what an evaluation makes on the way, and eight features of fp32.
    assert expected.pictures == 2 * 300 * 200 * (12 * (3 + 5) + 4 * 8)
    assert expected.maps == 2 * 300 * 200 * of_network * {"fp32": 4, "bf16": 2}[precision]
    assert predicted_bytes(300, 200, plan, network) == expected.total


def test_losses_are_measured_in_fp32_whatever_the_batch_takes(backbone: Backbone) -> None:
    """The prediction covers the targets' forward pass in fp32, which takes more than the smallest plan in bf16."""
    network = dataclasses.replace(backbone, precision="bf16")
    smallest = MemoryPlan(1, recompute=True, history=1, keep_freed=False)
    expected = predicted(300, 200, smallest, network)

    assert expected.maps + expected.optimizer == 300 * 200 * 4 * (256 + 40)


def test_pooling_on_a_gpu_keeps_which_was_the_largest(backbone: Backbone) -> None:
    """Pooling takes eight bytes for each of a pixel's 30 pooled numbers, or of the first 16 if maps are recomputed."""
    plans = [MemoryPlan(1, recompute, 20, keep_freed=False) for recompute in (False, True)]
    on_gpu = dataclasses.replace(backbone, device="cuda:0")
    more = [predicted(300, 200, one, on_gpu).maps - predicted(300, 200, one, backbone).maps for one in plans]

    assert more == [300 * 200 * 8 * 30, 300 * 200 * 8 * 16]


def test_what_is_painted_beside_something_protected_is_a_region() -> None:
    """A protected part makes the rest a region, so both maps count; regions of the pair take the place of that one."""
    of_region, of_two = (extra_of(OPTIONS, regions, protects=False).planes for regions in (1, 2))

    assert extra_of(OPTIONS, 0, protects=False) == Extra()
    assert extra_of(OPTIONS, 0, protects=True) == extra_of(OPTIONS, 1, protects=True) == Extra(of_region + 1)
    assert extra_of(OPTIONS, 2, protects=True) == Extra(of_two + 1)


@pytest.mark.parametrize(
    ("layers", "more"), [(("relu4_2",), 0), (("relu5_1",), 0), (("relu2_2",), 24), (("relu1_1", "conv3_1"), 72)]
)
def test_the_target_of_a_shallow_content_layer_counts(layers: tuple[str, ...], more: int) -> None:
    """A content target has 64 features a pixel in block 1 and half as many per further block; 8 are in every plan."""
    assert extra_of(StylizeOptions(content_layers=layers).resolved(), 0, protects=False).planes == more


@pytest.mark.parametrize(
    ("content", "style", "maps", "first"),
    [
        ("relu4_2", "relu1_1", 0, 0),
        ("conv4_2", "relu1_1", 8, 0),
        ("relu4_2", PAPER, 64 + 32 + 16 + 8 + 2, 64),
        ("conv1_1", "conv1_1 conv1_2", 128, 128),
    ],
)
def test_layers_that_are_read_before_they_are_rectified_count(content: str, style: str, maps: int, first: int) -> None:
    """Unrectified layers that a loss reads count once each; if maps are recomputed, only the first block's do."""
    layers = {"content_layers": (content,), "style_layers": tuple(style.split())}
    extra = extra_of(StylizeOptions.model_validate(layers).resolved(), 0, protects=False)
    plain = Extra(extra.planes)
    grown = [
        predicted(1024, 1024, plan, Gpu(), extra).maps - predicted(1024, 1024, plan, Gpu(), plain).maps
        for plan in (MemoryPlan(4, recompute=recompute, history=5, keep_freed=False) for recompute in (False, True))
    ]

    assert (extra.maps, extra.first_maps) == (maps, first)
    assert grown == [2 * 4 * 1024 * 1024 * maps, 2 * 4 * 1024 * 1024 * first]
