"""memory: what a batch is predicted to take, and what is planned with what is free."""

import pytest

from nst_core.backbones.backbone import Backbone
from nst_core.memory import MemoryPlan, available_bytes, largest_batch, plan_memory, predicted_bytes
from nst_core.options import StylizeOptions

GB = 1_000_000_000


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
    assert len(set(taken)) == 4


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
    assert plan_memory(8192, 8192, 4, backbone, free=GB) == MemoryPlan(4, recompute=True, history=5, keep_freed=False)


@pytest.mark.parametrize("width", [64, 512, 2000])
def test_on_a_cpu_pairs_go_one_at_a_time(backbone: Backbone, width: int) -> None:
    """On a CPU more pairs at once are no faster, so there is one."""
    assert largest_batch(width, width, StylizeOptions().resolved(), backbone) == 1


def test_there_is_some_memory() -> None:
    """What is free on this machine is known, or unknown and then without bound, but never nothing."""
    assert available_bytes("cpu") > GB // 4
