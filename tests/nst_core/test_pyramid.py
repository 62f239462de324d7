"""pyramid: coarse to fine."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.optimize import StepReport
from nst_core.options import StylizeOptions
from nst_core.pyramid import COARSE_STEPS, level_count, refine, shrink, usable_levels
from nst_core.stylize import StylizeRequest, StylizeResult, measure, prepare_style, stylize

Picture = Callable[..., Tensor]


@pytest.mark.parametrize(
    ("width", "height", "wanted", "levels"),
    [
        (256, 256, None, 1),
        (511, 300, None, 1),
        (512, 100, None, 2),
        (300, 1024, None, 3),
        (8000, 10, None, 4),
        (64, 64, 3, 3),
    ],
)
def test_levels(width: int, height: int, wanted: int | None, levels: int) -> None:
    """One level for each doubling of the long edge from 256 px, four at most; or as many as wanted."""
    assert level_count(width, height, wanted) == levels


def test_no_level_is_too_small_for_a_layer() -> None:
    """Levels are left out where the deepest layer would have no position left on the shortest side."""
    options = StylizeOptions().resolved()

    assert [usable_levels(4, shortest, options) for shortest in (16, 31, 32, 64, 128)] == [1, 1, 2, 3, 4]


def test_nothing_changed_is_nothing_changed(picture: Picture) -> None:
    """A coarse level that changes nothing leaves the finer initial image as it is, to the last detail."""
    initial = picture(50, 37, 0)
    coarse = shrink(initial, 1)

    assert coarse.shape == (1, 3, 25, 18)
    assert torch.equal(refine(initial, coarse, coarse), initial)


def test_a_change_of_colour_is_carried_over(picture: Picture) -> None:
    """A coarse level that darkens everything darkens the finer image by as much."""
    initial = picture(64, 64, 0) * 0.5 + 0.4
    coarse = shrink(initial, 1)

    torch.testing.assert_close(refine(initial, coarse, coarse - 0.1), initial - 0.1, rtol=0.0, atol=1e-5)


def stylized(
    backbone: Backbone, picture: Picture, **values: object
) -> tuple[StylizeRequest, StylizeResult, list[StepReport]]:
    options = StylizeOptions.model_validate({"plateau_tolerance": 0.0, "steps": 12} | values).resolved()
    request = StylizeRequest(picture(64, 72, 1), prepare_style(backbone, picture(64, 64, 2), options), options)
    reports: list[StepReport] = []
    (result,) = stylize([request], backbone, reports.append)
    assert isinstance(result, StylizeResult)
    return request, result, reports


@pytest.mark.parametrize("init", ["content", "noise", "style"])
def test_coarse_levels_come_first(backbone: Backbone, picture: Picture, init: str) -> None:
    """Two levels are two optimisations, the coarse one first, with as many evaluations as are reported."""
    request, result, reports = stylized(backbone, picture, levels=2, init=init)

    levels = [report.level for report in reports]
    assert levels == sorted(levels, reverse=True)
    assert result.coarse_evaluations == (levels.count(1),) == (13,)
    assert result.evaluations == levels.count(0) == 13
    assert measure(result.pastiche, request, backbone).total < result.initial.total


def test_one_level_is_none(backbone: Backbone, picture: Picture) -> None:
    """With one level full size is all there is."""
    _, result, reports = stylized(backbone, picture, levels=1)

    assert result.coarse_evaluations == ()
    assert {report.level for report in reports} == {0}


def test_coarse_steps_have_a_limit(backbone: Backbone, picture: Picture) -> None:
    """Coarse levels take no more than their own number of steps."""
    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    _, result, _ = stylized(backbone, picture, levels=2, steps=COARSE_STEPS + 5, **layers)

    assert result.coarse_evaluations == (COARSE_STEPS + 1,)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_loss_never_ends_above_where_it_started(backbone: Backbone, picture: Picture, steps: int) -> None:
    """However few the steps, a coarse level that led astray is not followed."""
    request, result, _ = stylized(backbone, picture, levels=3, steps=steps, style_weight=0.01)

    assert measure(result.pastiche, request, backbone).total <= result.initial.total * (1.0 + 1e-3)
