"""work: the cost of a pastiche, in evaluations of a million pixels."""

import dataclasses

import pytest

from nst_core.backbones.backbone import Backbone
from nst_core.machine.footprint import MemoryPlan, base_bytes, predicted_bytes
from nst_core.machine.memory import SHARE
from nst_core.machine.work import Between, Evaluations, expected_evaluations, style_work, work_of
from nst_core.options import StylizeOptions

PLENTY = 1 << 40


def resolved(**options: object) -> StylizeOptions:
    return StylizeOptions.model_validate(options).resolved()


def test_steps_bound_the_evaluations() -> None:
    """A pastiche takes at most its steps plus the first evaluation; fewer if a pair stops by itself."""
    assert expected_evaluations(256, 256, resolved(steps=30)) == Evaluations(Between(31, 31), ())
    assert expected_evaluations(256, 256, resolved()) == Evaluations(Between(100, 220), ())
    assert expected_evaluations(256, 256, resolved(), Between(90, 140)) == Evaluations(Between(90, 140), ())
    assert expected_evaluations(256, 256, resolved(plateau_tolerance=0.0)) == Evaluations(Between(301, 301), ())
    assert expected_evaluations(256, 256, resolved(loss_threshold=1.0)).full == Between(1, 220)


def test_a_poster_has_many_coarse_levels_and_few_evaluations_at_full_size() -> None:
    """From 256 px on each doubling adds a level of 40 steps, and full size gets ever fewer."""
    found = [expected_evaluations(px, px * 3 // 4, resolved(size_px=px)) for px in (512, 2048, 8192, 16384)]

    assert [one.coarse for one in found] == [(41,), (41,) * 3, (41,) * 5, (*(41,) * 5, 26)]
    assert [one.full.at_most for one in found] == [220, 220, 26, 21]


def test_levels_that_have_no_room_for_the_layers_take_no_time() -> None:
    """`relu5_1` needs 16 px, so that a square of 256 px has five of seven requested levels."""
    assert expected_evaluations(256, 256, resolved(levels=7)).coarse == (41,) * 4
    assert expected_evaluations(256, 100, resolved(levels=7)).coarse == (41,) * 2


def test_a_picture_to_start_from_has_no_coarse_levels() -> None:
    """A pastiche that starts from an image of its own has no coarse levels, unless they are requested."""
    assert expected_evaluations(2048, 1536, resolved(size_px=2048), from_picture=True).coarse == ()
    assert len(expected_evaluations(2048, 1536, resolved(size_px=2048, levels=3), from_picture=True).coarse) == 2


@pytest.mark.parametrize(("precision", "exact"), [("bf16", 2.0), ("fp32", 1.0)])
def test_work_is_evaluations_and_exact_passes(backbone: Backbone, precision: str, exact: float) -> None:
    """Exact passes count for the target, the file's losses, and a coarse level's start and targets."""
    network = dataclasses.replace(backbone, precision=precision)
    options = resolved()

    assert work_of(1000, 500, options, 30, (), network, PLENTY) == pytest.approx(0.5 * (30 + 2 * exact))
    assert work_of(1000, 500, options, 30, (40,), network, PLENTY) == pytest.approx(
        0.5 * (30 + 3 * exact) + 0.125 * (40 + 2 * exact)
    )
    assert style_work(1000, 500, network) == pytest.approx(0.5 * exact)


def test_other_recipes_are_measured_twice(backbone: Backbone) -> None:
    """Other recipes need two more passes for the distances, which are those of the recipe `relative`."""
    works = [work_of(1000, 1000, resolved(recipe=one), 10, (), backbone, PLENTY) for one in ("relative", "gatys")]

    assert works[1] - works[0] == pytest.approx(2.0)


def test_tiles_are_more_work(backbone: Backbone) -> None:
    """Tiles cost half of an evaluation more, plus the halo around each tile."""
    options = resolved()
    whole, tiled = (work_of(4096, 4096, options, 10, (), backbone, free) for free in (PLENTY, 9_000_000_000))
    per_evaluation = (tiled - 2 * 4096**2 / 1e6) / (whole - 2 * 4096**2 / 1e6)

    # Four by four tiles of 1024 px, which see 80 px of each of their neighbours.
    assert per_evaluation == pytest.approx(1.5 * (1 + 3 * 160 / 4096) ** 2)


def test_layers_that_take_more_memory_are_worked_on_in_tiles_sooner(backbone: Backbone) -> None:
    """Where one piece with the usual layers just fits, one whose layers are read before they are rectified does not."""
    usual, more = resolved(), resolved(style_layers=("conv1_2",))
    plan = MemoryPlan(1, recompute=True, history=5, keep_freed=False)
    free = int(predicted_bytes(2048, 2048, plan, backbone) / SHARE) - base_bytes(backbone) + 1

    works = [work_of(2048, 2048, options, 10, (), backbone, free) for options in (usual, more)]

    assert works[1] > 1.4 * works[0]
