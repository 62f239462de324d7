"""The estimated cost of a pastiche, in evaluations of a million pixels."""

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


def test_expected_evaluations_at_full_size() -> None:
    """A pastiche takes at most one evaluation more than steps, and fewer if it may stop at a plateau or a threshold."""
    assert expected_evaluations(256, 256, resolved(steps=30)) == Evaluations(Between(31, 31), ())
    assert expected_evaluations(256, 256, resolved()) == Evaluations(Between(100, 220), ())
    assert expected_evaluations(256, 256, resolved(), Between(90, 140)) == Evaluations(Between(90, 140), ())
    assert expected_evaluations(256, 256, resolved(plateau_tolerance=0.0)) == Evaluations(Between(301, 301), ())
    assert expected_evaluations(256, 256, resolved(loss_threshold=1.0)).full == Between(1, 220)


def test_large_images_have_coarse_levels_and_fewer_evaluations() -> None:
    """Larger images have more coarse levels of 40 steps, up to six, and fewer evaluations at full size."""
    found = [expected_evaluations(px, px * 3 // 4, resolved(size_px=px)) for px in (512, 2048, 8192, 16384)]

    assert [one.coarse for one in found] == [(41,), (41,) * 3, (41,) * 5, (*(41,) * 5, 26)]
    assert [one.full.at_most for one in found] == [220, 220, 26, 21]


def test_levels_too_small_for_the_layers_do_not_count() -> None:
    """`relu5_1` needs 16 px, so that of seven requested levels an image of 256 x 256 px has five, and of 256 x 100 px
    three.
    """
    assert expected_evaluations(256, 256, resolved(levels=7)).coarse == (41,) * 4
    assert expected_evaluations(256, 100, resolved(levels=7)).coarse == (41,) * 2


def test_a_pastiche_with_its_own_start_has_no_coarse_levels() -> None:
    """A pastiche that starts from a given image has no coarse levels, unless levels are requested."""
    assert expected_evaluations(2048, 1536, resolved(size_px=2048), from_picture=True).coarse == ()
    assert len(expected_evaluations(2048, 1536, resolved(size_px=2048, levels=3), from_picture=True).coarse) == 2


@pytest.mark.parametrize(("precision", "exact"), [("bf16", 2.0), ("fp32", 1.0)])
def test_work_counts_evaluations_and_exact_passes(backbone: Backbone, precision: str, exact: float) -> None:
    """Besides evaluations, work counts two exact passes for a pastiche, one more for its start if there are coarse
    levels, and two for each coarse level; a style has one.
    """
    network = dataclasses.replace(backbone, precision=precision)
    options = resolved()

    assert work_of(1000, 500, options, 30, (), network, PLENTY) == pytest.approx(0.5 * (30 + 2 * exact))
    assert work_of(1000, 500, options, 30, (40,), network, PLENTY) == pytest.approx(
        0.5 * (30 + 3 * exact) + 0.125 * (40 + 2 * exact)
    )
    assert style_work(1000, 500, network) == pytest.approx(0.5 * exact)


def test_other_recipes_need_two_more_passes(backbone: Backbone) -> None:
    """Recipes other than `relative` need two more passes, because reported distances are the losses of `relative`."""
    works = [work_of(1000, 1000, resolved(recipe=one), 10, (), backbone, PLENTY) for one in ("relative", "gatys")]

    assert works[1] - works[0] == pytest.approx(2.0)


def test_tiles_need_more_work(backbone: Backbone) -> None:
    """An evaluation in tiles costs 1.5 times as much, for the pixels of the image and of the halos between tiles."""
    options = resolved()
    whole, tiled = (work_of(4096, 4096, options, 10, (), backbone, free) for free in (PLENTY, 9_000_000_000))
    per_evaluation = (tiled - 2 * 4096**2 / 1e6) / (whole - 2 * 4096**2 / 1e6)

    # Four by four tiles of 1024 px, each of which reads 80 px of its neighbours.
    assert per_evaluation == pytest.approx(1.5 * (1 + 3 * 160 / 4096) ** 2)


def test_layers_with_more_memory_are_evaluated_in_tiles_sooner(backbone: Backbone) -> None:
    """With just enough memory for one piece with the usual layers, a style layer read before its ReLU needs tiles."""
    usual, more = resolved(), resolved(style_layers=("conv1_2",))
    plan = MemoryPlan(1, recompute=True, history=5, keep_freed=False)
    free = int(predicted_bytes(2048, 2048, plan, backbone) / SHARE) - base_bytes(backbone) + 1

    works = [work_of(2048, 2048, options, 10, (), backbone, free) for options in (usual, more)]

    assert works[1] > 1.4 * works[0]
