"""The predicted memory of a plan, compared with what the engine allocates, counted on tensors without memory."""

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
"""The paper's names of its style layers; taken as layers of this project they are convolutions before their ReLU."""


@dataclass(frozen=True)
class Gpu:
    """A device name and a precision, as of a backbone on a GPU; the GPU need not exist."""

    device: str = "cuda:0"
    precision: PrecisionName = "bf16"


class Counting(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and their peak."""

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
    """Return the peak bytes of all tensors except weights in the first two evaluations of a plan on a GPU."""
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
    # Not the whole optimisation loop, because it reads numbers from the device, which tensors without memory lack.
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
def test_the_prediction_covers_what_is_allocated(
    convolutions: Convolutions, width: int, height: int, pairs: int, free: int, content_layer: str, style_layers: str
) -> None:
    """The prediction is at least what is allocated and at most 1.6 times as much, and the plan fits the free memory."""
    own = {"style_layers": tuple(style_layers.split())} if style_layers else {}
    options = StylizeOptions.model_validate({"steps": 25, "content_layers": (content_layer,)} | own).resolved()
    extra = extra_of(options, 0, protects=False)
    plan = plan_memory(width, height, pairs, Gpu(), free * GB, extra)
    # Without freed memory that is kept, which belongs to no tensor and cannot be counted here.
    expected = predicted(width, height, dataclasses.replace(plan, keep_freed=False), Gpu(), extra)
    counted = counted_bytes(width, height, plan, convolutions, options)

    assert counted <= expected.total - expected.base <= 1.6 * counted
    assert expected.total <= free * GB + expected.base


@pytest.mark.parametrize(
    ("precision", "recompute", "history", "half_history", "of_network", "pictures"),
    [
        # Kept maps and workspace; two images per pair of the history (one in bf16), five copies, six temporary ones.
        ("fp32", False, 20, False, 320 + 40, 2 * 20 + 5 + 6),
        ("bf16", False, 20, False, 320 + 40, 2 * 20 + 5 + 6),
        ("fp32", True, 5, False, 32 + 256 + 40, 2 * 5 + 5 + 6),
        ("bf16", False, 10, True, 320 + 40, 10 + 5 + 6),
    ],
)
def test_predicted_bytes_per_pixel(
    backbone: Backbone,
    precision: str,
    recompute: bool,
    history: int,
    half_history: bool,
    of_network: int,
    pictures: int,
) -> None:
    """An image is three fp32 numbers per pixel; each of the network's floats has four bytes in fp32 and two in bf16."""
    network = dataclasses.replace(backbone, precision=precision)
    plan = MemoryPlan(2, recompute, history, keep_freed=False, half_history=half_history)
    expected = predicted(300, 200, plan, network)

    assert expected.base == 1_500_000_000
    assert expected.optimizer == 2 * 300 * 200 * 12 * pictures
    # Three images that are given, five of one evaluation, and eight fp32 features of the content target.
    assert expected.pictures == 2 * 300 * 200 * (12 * (3 + 5) + 4 * 8)
    assert expected.maps == 2 * 300 * 200 * of_network * {"fp32": 4, "bf16": 2}[precision]
    assert predicted_bytes(300, 200, plan, network) == expected.total


def test_the_prediction_covers_the_fp32_pass_for_targets(backbone: Backbone) -> None:
    """The prediction covers the forward pass in fp32 for targets, which takes more than the smallest plan in bf16."""
    network = dataclasses.replace(backbone, precision="bf16")
    smallest = MemoryPlan(1, recompute=True, history=1, keep_freed=False)
    expected = predicted(300, 200, smallest, network)

    assert expected.maps + expected.optimizer == 300 * 200 * 4 * (256 + 40)


def test_poolings_indices_on_a_gpu_count(backbone: Backbone) -> None:
    """On a GPU pooling keeps eight bytes for each of a pixel's 30 pooled numbers; when recomputing, for 16."""
    plans = [MemoryPlan(1, recompute, 20, keep_freed=False) for recompute in (False, True)]
    on_gpu = dataclasses.replace(backbone, device="cuda:0")
    more = [predicted(300, 200, one, on_gpu).maps - predicted(300, 200, one, backbone).maps for one in plans]

    assert more == [300 * 200 * 8 * 30, 300 * 200 * 8 * 16]


def test_a_protected_part_makes_the_rest_a_region() -> None:
    """With a protected part, its map and a region for the rest count; if the pair has regions, they count instead of
    the rest.
    """
    of_region, of_two = (extra_of(OPTIONS, regions, protects=False).planes for regions in (1, 2))

    assert extra_of(OPTIONS, 0, protects=False) == Extra()
    assert extra_of(OPTIONS, 0, protects=True) == extra_of(OPTIONS, 1, protects=True) == Extra(of_region + 1)
    assert extra_of(OPTIONS, 2, protects=True) == Extra(of_two + 1)


@pytest.mark.parametrize(
    ("layers", "more"), [(("relu4_2",), 0), (("relu5_1",), 0), (("relu2_2",), 24), (("relu1_1", "conv3_1"), 72)]
)
def test_the_target_of_a_shallow_content_layer_counts(layers: tuple[str, ...], more: int) -> None:
    """A content target has 64 features per pixel in block 1 and half as many in each further block; what exceeds the 8
    of every plan is extra.
    """
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
def test_unrectified_layers_that_a_loss_reads_count(content: str, style: str, maps: int, first: int) -> None:
    """Each convolution that a loss reads before its ReLU counts once; if maps are recomputed, only the first block's
    do.
    """
    layers = {"content_layers": (content,), "style_layers": tuple(style.split())}
    extra = extra_of(StylizeOptions.model_validate(layers).resolved(), 0, protects=False)
    plain = Extra(extra.planes)
    grown = [
        predicted(1024, 1024, plan, Gpu(), extra).maps - predicted(1024, 1024, plan, Gpu(), plain).maps
        for plan in (MemoryPlan(4, recompute=recompute, history=5, keep_freed=False) for recompute in (False, True))
    ]

    assert (extra.maps, extra.first_maps) == (maps, first)
    assert grown == [2 * 4 * 1024 * 1024 * maps, 2 * 4 * 1024 * 1024 * first]
