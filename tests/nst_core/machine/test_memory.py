"""The choice of a memory plan and of a batch's size for the free memory, and the refusal of images too large for it."""

import dataclasses
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import OutOfMemory
from nst_core.machine.allowance import free_bytes
from nst_core.machine.footprint import Extra, MemoryPlan, base_bytes, predicted_bytes
from nst_core.machine.memory import HISTORY, SHARE, available_bytes, check_fits, largest_batch, plan_memory
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.stylize import stylize

GB = 1_000_000_000
OPTIONS = StylizeOptions().resolved()


def test_with_plenty_of_memory_the_plan_is_the_fastest(backbone: Backbone) -> None:
    """With plenty of memory nothing is recomputed, and L-BFGS keeps a history of 20 pairs."""
    assert plan_memory(512, 512, 1, backbone, free=64 * GB) == MemoryPlan(1, recompute=False, history=20)


def test_with_less_memory_the_plan_is_smaller(backbone: Backbone) -> None:
    """For 40, 22, 19, 16 and 8 GB of free memory, each plan takes less memory than the one before."""
    taken = []
    for free in (40, 22, 19, 16, 8):
        plan = plan_memory(3000, 3000, 1, backbone, free=free * GB)
        taken.append(predicted_bytes(3000, 3000, plan, backbone))

    assert taken == sorted(taken, reverse=True)
    assert len(set(taken)) == 5


def test_the_history_is_shortened_before_anything_is_recomputed(backbone: Backbone) -> None:
    """With ever less memory the plan has a shorter history, then recomputes, then has the shortest history, but always
    as many pairs.
    """
    choices = ((False, 20), (False, 10), (True, 10), (True, 5))
    plans = [MemoryPlan(3, *rest, keep_freed=False) for rest in choices]
    needed = [predicted_bytes(900, 700, plan, backbone) for plan in plans]

    for plan, taken in zip(plans, needed, strict=True):
        free = int(taken / SHARE) - base_bytes(backbone) + 1
        assert dataclasses.replace(plan_memory(900, 700, 3, backbone, free), keep_freed=False) == plan
        assert plan_memory(900, 700, 3, backbone, free - 2) != plan or plan == plans[-1]


@pytest.mark.parametrize(("size", "free"), [((8192, 6144), 18), ((6000, 6000), 13), ((16384, 12288), 70)])
def test_a_poster_is_planned_in_tiles(backbone: Backbone, size: tuple[int, int], free: int) -> None:
    """An image that does not fit in one piece is planned in tiles, with a history in bf16, and then fits."""
    network = dataclasses.replace(backbone, precision="bf16")
    plan = plan_memory(*size, 1, network, free * GB)

    assert plan.tile_px is not None
    assert plan.half_history
    assert predicted_bytes(*size, plan, network) <= SHARE * (free * GB + 1_500_000_000)
    check_fits(*size, network, free * GB)


@pytest.mark.parametrize(("width", "is_tiled"), [(8192, True), (8191, False)])
def test_maps_too_large_for_32_bit_indices_are_tiled(backbone: Backbone, width: int, is_tiled: bool) -> None:
    """However much memory is free, 8192 x 4096 px are planned in tiles: their 64 channels are 2**31 numbers."""
    assert (plan_memory(width, 4096, 1, backbone, free=10**13).tile_px is not None) is is_tiled


def test_an_image_that_does_not_fit_is_refused_with_the_numbers(backbone: Backbone) -> None:
    """The refusal gives the memory needed for each part, the free memory, and the largest `size_px` that fits."""
    network = dataclasses.replace(backbone, precision="bf16")
    with pytest.raises(OutOfMemory) as caught:
        check_fits(16384, 12288, network, 20 * GB)
    found = re.fullmatch(
        r"a pastiche of 16384 x 12288 px takes at least ([\d.]+) GB = ([\d.]+) GB for the optimizer \+ ([\d.]+) GB for "
        r"images and targets \+ ([\d.]+) GB for feature maps \+ ([\d.]+) GB for weights and libraries, and cpu has "
        r"20.0 GB free: lower size_px to (\d+)",
        str(caught.value),
    )
    assert found is not None
    total, *parts = map(float, found.groups()[:5])
    fitting = int(found[6])

    assert total == pytest.approx(sum(parts), abs=0.2)
    check_fits(fitting, fitting * 3 // 4, network, 20 * GB)
    with pytest.raises(OutOfMemory):
        check_fits(fitting + 16, (fitting + 16) * 3 // 4, network, 20 * GB)


def test_if_no_size_fits_the_refusal_says_to_free_memory(backbone: Backbone) -> None:
    """If not even the smallest image fits, the refusal advises to free memory instead of a smaller size."""
    with pytest.raises(OutOfMemory, match="free some memory"):
        check_fits(64, 64, backbone, -1_500_000_000)


def test_extra_planes_count(backbone: Backbone) -> None:
    """Each extra plane takes four bytes per pixel, so that an image which fits is refused with 240 planes more."""
    plan = plan_memory(8192, 6144, 1, backbone, 24 * GB)
    bytes_of = [predicted_bytes(8192, 6144, plan, backbone, extra) for extra in (Extra(), Extra(planes=24))]

    assert bytes_of[1] - bytes_of[0] == 24 * 4 * 8192 * 6144
    check_fits(8192, 6144, backbone, bytes_of[0])
    with pytest.raises(OutOfMemory, match="lower size_px to"):
        check_fits(8192, 6144, backbone, bytes_of[0] - base_bytes(backbone), Extra(planes=240))


def test_an_image_of_3000_px_fits_16_gb(backbone: Backbone) -> None:
    """A square pastiche of 3000 px is planned within 16 GB on a CPU in fp32."""
    plan = plan_memory(3000, 3000, 1, backbone, free=14 * GB)

    assert predicted_bytes(3000, 3000, plan, backbone) < 16 * GB


def test_freed_memory_is_kept_if_there_is_plenty(backbone: Backbone) -> None:
    """With twice the needed memory the plan keeps freed memory, which takes 1.75 times as much; with just enough it
    does not.
    """
    needed = predicted_bytes(2000, 2000, MemoryPlan(1, recompute=False, history=20, keep_freed=False), backbone)
    kept = predicted_bytes(2000, 2000, MemoryPlan(1, recompute=False, history=20), backbone)

    assert plan_memory(2000, 2000, 1, backbone, free=2 * needed).keep_freed
    assert not plan_memory(2000, 2000, 1, backbone, free=needed).keep_freed
    assert kept - base_bytes(backbone) == pytest.approx(1.75 * (needed - base_bytes(backbone)))


def test_if_no_plan_fits_the_smallest_is_used(backbone: Backbone) -> None:
    """If not even the smallest plan fits, it is used nevertheless, because a prediction may be too high."""
    smallest = MemoryPlan(4, recompute=False, history=5, tile_px=256, keep_freed=False, half_history=True)

    assert plan_memory(8192, 8192, 4, backbone, free=GB) == smallest


def test_no_free_memory_differs_from_unknown_free_memory(backbone: Backbone) -> None:
    """With 0 bytes of free memory the smallest plan is chosen; with None the device is queried, which has some."""
    smallest = MemoryPlan(1, recompute=False, history=5, tile_px=256, keep_freed=False, half_history=True)

    assert plan_memory(2000, 2000, 1, backbone, free=0) == smallest
    assert plan_memory(64, 64, 1, backbone, free=None) == MemoryPlan(1, recompute=False, history=20)


def test_the_history_of_the_plan_is_what_lbfgs_keeps(backbone: Backbone, picture: Callable[..., Tensor]) -> None:
    """With a history of 5 instead of 20 pairs, L-BFGS takes the same steps until it has 5 pairs, then others."""
    values = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",), "plateau_tolerance": 0.0}
    gaps = []
    for steps in (5, 12):
        options = StylizeOptions.model_validate(values | {"steps": steps}).resolved()
        request = StylizeRequest(picture(20, 24, 1), prepare_style(backbone, picture(20, 24, 2), options), options)
        results = [stylize([request], backbone, free=free)[0] for free in (None, 0)]
        assert all(isinstance(one, StylizeResult) for one in results)
        gaps.append((results[0].pastiche - results[1].pastiche).abs().max().item())

    assert gaps[0] < 1e-4
    assert gaps[1] > 10 * max(gaps[0], 1e-5)


@pytest.mark.parametrize("width", [64, 512, 2000])
def test_on_a_cpu_a_batch_has_one_pair(backbone: Backbone, width: int) -> None:
    """On a CPU a batch has one pair, because more pairs at once are no faster."""
    assert largest_batch(width, width, backbone) == 1


def test_available_memory_of_the_cpu_is_the_free_memory() -> None:
    """The memory available on the CPU is more than 250 MB, and what `free_bytes` reports."""
    assert available_bytes("cpu") > GB // 4
    assert abs(available_bytes("cpu") - free_bytes()) < GB


# ---- On a GPU


@dataclasses.dataclass
class Card:
    """What torch reports about the memory of a GPU."""

    free: int = 0
    reserved: int = 0
    allocated: int = 0


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """A GPU whose memory, as torch reports it, the test sets."""
    reported = Card()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (reported.free, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: reported.reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: reported.allocated)
    return reported


@pytest.fixture
def on_gpu(backbone: Backbone) -> Backbone:
    """A backbone whose device is a GPU."""
    return dataclasses.replace(backbone, device="cuda:0", precision="bf16")


def test_memory_that_torch_reserves_but_does_not_use_is_free(card: Card, on_gpu: Backbone) -> None:
    """Memory that torch has reserved but not allocated counts as free, although the driver reports it as taken."""
    card.free, card.reserved, card.allocated = 5 * GB, 30 * GB, 2 * GB

    assert available_bytes("cuda:0") == 33 * GB
    assert plan_memory(3000, 3000, 1, on_gpu) == plan_memory(3000, 3000, 1, on_gpu, free=33 * GB)


@pytest.mark.parametrize(("side", "pairs"), [(512, 32), (256, 128), (64, 2048), (4000, 1)])
def test_with_plenty_of_memory_a_batch_has_a_fixed_number_of_pixels(
    card: Card, on_gpu: Backbone, side: int, pairs: int
) -> None:
    """With plenty of memory a batch has as many pixels as 32 squares of 512 px, and at least one pair."""
    card.free = 10_000 * GB

    assert largest_batch(side, side, on_gpu) == pairs


@pytest.mark.parametrize("free", [3, 6, 12, 24, 40])
def test_a_batch_on_a_gpu_fits_without_recomputing(card: Card, on_gpu: Backbone, free: int) -> None:
    """A batch has nearly as many pairs as fit with the fastest plan into 85 % of the memory, but at most 32."""
    card.free = free * GB
    pairs = largest_batch(512, 512, on_gpu)
    budget = SHARE * (card.free + 2_500_000_000)
    needed, of_more = (
        predicted_bytes(512, 512, MemoryPlan(count, recompute=False, history=20, keep_freed=False), on_gpu)
        for count in (pairs, pairs + 1 + pairs // 4)
    )

    assert needed <= budget
    assert budget < of_more or pairs == 32
    assert plan_memory(512, 512, pairs, on_gpu).history == 20
    assert not plan_memory(512, 512, pairs, on_gpu).recompute


@pytest.mark.parametrize("extra", [Extra(planes=24), Extra(planes=200), Extra(maps=64)])
def test_pairs_with_extra_memory_make_smaller_batches(card: Card, on_gpu: Backbone, extra: Extra) -> None:
    """A batch has fewer pairs if each needs extra memory, so that the fastest plan still fits."""
    card.free = 12 * GB
    pairs = largest_batch(512, 512, on_gpu, extra)

    of_these, of_too_many = (
        plan_memory(512, 512, count, on_gpu, extra=extra) for count in (pairs, largest_batch(512, 512, on_gpu))
    )

    assert (of_these.history, of_these.recompute) == (HISTORY, False)
    assert of_too_many.history < HISTORY


def test_on_a_full_gpu_a_batch_has_one_pair(card: Card, on_gpu: Backbone) -> None:
    """If not even one pair fits the free memory, a batch still has one."""
    assert largest_batch(512, 512, on_gpu) == 1
