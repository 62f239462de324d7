"""memory: what a batch is predicted to take, and what is planned with what is free."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.allowance import free_bytes
from nst_core.backbones.backbone import Backbone
from nst_core.memory import SHARE, MemoryPlan, available_bytes, base_bytes, largest_batch, plan_memory, predicted_bytes
from nst_core.options import StylizeOptions
from nst_core.stylize import StylizeRequest, StylizeResult, prepare_style, stylize

GB = 1_000_000_000
OPTIONS = StylizeOptions().resolved()


def test_plenty_of_memory_is_the_fastest_plan(backbone: Backbone) -> None:
    """Where memory abounds nothing is made twice and L-BFGS keeps its whole history."""
    assert plan_memory(512, 512, 1, backbone, free=64 * GB) == MemoryPlan(1, recompute=False, history=20)


def test_less_memory_is_a_smaller_plan(backbone: Backbone) -> None:
    """With ever less memory the plan never grows, and takes less than is free as long as any plan does."""
    taken = []
    for free in (40, 22, 19, 16, 8):
        plan = plan_memory(3000, 3000, 1, backbone, free=free * GB)
        taken.append(predicted_bytes(3000, 3000, plan, backbone))

    assert taken == sorted(taken, reverse=True)
    assert len(set(taken)) == 5


def test_the_history_gives_way_first(backbone: Backbone) -> None:
    """With ever less memory: a shorter history, then recomputing, then the shortest history; the pairs stay."""
    plans = [MemoryPlan(3, *rest) for rest in ((False, 20), (False, 10), (True, 10), (True, 5))]
    needed = [predicted_bytes(900, 700, plan, backbone) for plan in plans]

    for plan, taken in zip(plans, needed, strict=True):
        free = int(taken / SHARE) - base_bytes(backbone) + 1
        assert dataclasses.replace(plan_memory(900, 700, 3, backbone, free), keep_freed=True) == plan
        assert plan_memory(900, 700, 3, backbone, free - 2) != plan or plan == plans[-1]


@pytest.mark.parametrize(
    ("precision", "plan", "floats", "of_the_network"),
    [
        # Kept maps and what convolutions take; three channels, two vectors per remembered pair and fourteen copies.
        ("fp32", MemoryPlan(1, recompute=False, history=20), 3 * (2 * 20 + 14), 320 + 40),
        ("bf16", MemoryPlan(1, recompute=False, history=20), 3 * (2 * 20 + 14), 320 + 40),
        ("fp32", MemoryPlan(1, recompute=True, history=5), 3 * (2 * 5 + 14), 32 + 256 + 40),
        ("bf16", MemoryPlan(7, recompute=True, history=10), 3 * (2 * 10 + 14), 32 + 256 + 40),
    ],
)
def test_bytes_per_pixel(
    backbone: Backbone, precision: str, plan: MemoryPlan, floats: int, of_the_network: int
) -> None:
    """L-BFGS keeps four bytes per number; the network's numbers are four bytes in fp32 and two in bf16."""
    network = dataclasses.replace(backbone, precision=precision)
    per_pixel = plan.pairs * (4 * floats + {"fp32": 4, "bf16": 2}[precision] * of_the_network)

    assert predicted_bytes(300, 200, plan, network) == 1_500_000_000 + 300 * 200 * per_pixel


def test_losses_are_measured_in_fp32_whatever_the_batch_takes(backbone: Backbone) -> None:
    """The smallest plan in bf16 takes less than one forward pass in fp32, which the targets need all the same."""
    network = dataclasses.replace(backbone, precision="bf16")
    smallest = MemoryPlan(1, recompute=True, history=5)

    assert predicted_bytes(300, 200, smallest, network) == 1_500_000_000 + 300 * 200 * 4 * (256 + 40)


def test_a_picture_of_3000_px_fits_16_gb(backbone: Backbone) -> None:
    """A square pastiche of 3000 px is planned within 16 GB on a CPU in fp32."""
    plan = plan_memory(3000, 3000, 1, backbone, free=14 * GB)

    assert predicted_bytes(3000, 3000, plan, backbone) < 16 * GB


def test_freed_memory_is_kept_where_there_is_plenty(backbone: Backbone) -> None:
    """What is freed stays with the process, which is faster, unless its pieces would then not leave enough."""
    needed = predicted_bytes(2000, 2000, MemoryPlan(1, recompute=False, history=20), backbone)

    assert plan_memory(2000, 2000, 1, backbone, free=2 * needed).keep_freed
    assert not plan_memory(2000, 2000, 1, backbone, free=needed).keep_freed


def test_nothing_fits(backbone: Backbone) -> None:
    """Where not even the smallest plan fits it is tried all the same: what is predicted is no promise."""
    smallest = MemoryPlan(4, recompute=False, history=5, tile_px=256, keep_freed=False)

    assert plan_memory(8192, 8192, 4, backbone, free=GB) == smallest


def test_no_free_memory_is_not_unknown_memory(backbone: Backbone) -> None:
    """Nothing free, as of a batch that is to be frugal, is the smallest plan; None asks the machine, which has some."""
    smallest = MemoryPlan(1, recompute=False, history=5, tile_px=256, keep_freed=False)

    assert plan_memory(2000, 2000, 1, backbone, free=0) == smallest
    assert plan_memory(64, 64, 1, backbone, free=None) == MemoryPlan(1, recompute=False, history=20)


def test_the_history_of_the_plan_is_what_lbfgs_keeps(backbone: Backbone, picture: Callable[..., Tensor]) -> None:
    """A batch in little memory goes as another does until five pairs are remembered, and then its own way."""
    values = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",), "plateau_tolerance": 0.0}
    gaps = []
    for steps in (5, 12):
        options = StylizeOptions.model_validate(values | {"steps": steps}).resolved()
        request = StylizeRequest(picture(20, 24, 1), prepare_style(backbone, picture(20, 24, 2), options), options)
        results = [stylize([request], backbone, frugal=frugal)[0] for frugal in (False, True)]
        assert all(isinstance(one, StylizeResult) for one in results)
        gaps.append((results[0].pastiche - results[1].pastiche).abs().max().item())

    assert gaps[0] < 1e-4
    assert gaps[1] > 10 * max(gaps[0], 1e-5)


@pytest.mark.parametrize("width", [64, 512, 2000])
def test_on_a_cpu_pairs_go_one_at_a_time(backbone: Backbone, width: int) -> None:
    """On a CPU more pairs at once are no faster, so there is one."""
    assert largest_batch(width, width, StylizeOptions().resolved(), backbone) == 1


def test_there_is_some_memory() -> None:
    """What is free on this machine is known, or unknown and then without bound, but never nothing."""
    assert available_bytes("cpu") > GB // 4
    assert abs(available_bytes("cpu") - free_bytes()) < GB


# ---- On a GPU


@dataclasses.dataclass
class Card:
    """What torch says of the memory of a GPU."""

    free: int = 0
    reserved: int = 0
    allocated: int = 0


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """A GPU whose memory a test says."""
    said = Card()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (said.free, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: said.reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: said.allocated)
    return said


@pytest.fixture
def on_gpu(backbone: Backbone) -> Backbone:
    """A backbone that says that it is on a GPU."""
    return dataclasses.replace(backbone, device="cuda:0", precision="bf16")


def test_what_torch_holds_and_does_not_use_is_free(card: Card, on_gpu: Backbone) -> None:
    """The driver counts all that torch has reserved as taken; what is not in use is there for the next batch."""
    card.free, card.reserved, card.allocated = 5 * GB, 30 * GB, 2 * GB

    assert available_bytes("cuda:0") == 33 * GB
    assert plan_memory(3000, 3000, 1, on_gpu) == plan_memory(3000, 3000, 1, on_gpu, free=33 * GB)


@pytest.mark.parametrize(("side", "pairs"), [(512, 32), (256, 128), (64, 2048), (4000, 1)])
def test_where_memory_abounds_a_batch_has_so_many_pixels(card: Card, on_gpu: Backbone, side: int, pairs: int) -> None:
    """A batch has as many pairs as 32 squares of 512 px have room for, and at least one."""
    card.free = 10_000 * GB

    assert largest_batch(side, side, OPTIONS, on_gpu) == pairs


@pytest.mark.parametrize("free", [3, 6, 12, 24, 40])
def test_a_batch_on_a_gpu_fits_without_recomputing(card: Card, on_gpu: Backbone, free: int) -> None:
    """As many pairs as fit with the fastest plan into most of what is free, and not many fewer."""
    card.free = free * GB
    pairs = largest_batch(512, 512, OPTIONS, on_gpu)
    budget = SHARE * (card.free + 2_500_000_000)
    needed, of_more = (
        predicted_bytes(512, 512, MemoryPlan(count, recompute=False, history=20), on_gpu)
        for count in (pairs, pairs + 1 + pairs // 4)
    )

    assert needed <= budget < of_more or pairs == 32
    assert plan_memory(512, 512, pairs, on_gpu).history == 20
    assert not plan_memory(512, 512, pairs, on_gpu).recompute


def test_a_gpu_that_is_full_is_tried_with_one_pair(card: Card, on_gpu: Backbone) -> None:
    """Where not even one fits there is one all the same."""
    assert largest_batch(512, 512, OPTIONS, on_gpu) == 1
