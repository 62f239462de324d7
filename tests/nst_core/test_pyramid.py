"""pyramid: optimisation from coarse to fine levels."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.backbone import Backbone, wrap_network
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.geometry.levels import COARSE_STEPS, level_count, usable_levels
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.measure import measure
from nst_core.optimize import StepReport
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.pyramid import refine
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.shrink import shrink
from nst_core.stylize import stylize

Picture = Callable[..., Tensor]


@pytest.mark.parametrize(
    ("width", "height", "wanted", "levels"),
    [
        (256, 256, None, 1),
        (511, 300, None, 1),
        (512, 100, None, 2),
        (300, 1024, None, 3),
        (8000, 10, None, 5),
        (64, 64, 3, 3),
    ],
)
def test_levels(width: int, height: int, wanted: int | None, levels: int) -> None:
    """There is one level for each doubling of the long edge from 256 px, or as many as `wanted`."""
    assert level_count(width, height, wanted) == levels


def test_no_level_is_too_small_for_a_layer() -> None:
    """Levels at which the deepest layer would have no position on the shortest side are left out."""
    options = StylizeOptions().resolved()

    assert [usable_levels(4, shortest, options) for shortest in (16, 31, 32, 64, 128)] == [1, 1, 2, 3, 4]


def test_no_level_is_too_small_for_the_total_variation(backbone: Backbone, picture: Picture) -> None:
    """Levels of less than two pixels a side, which the total variation needs, are left out whatever the layers need."""
    options = StylizeOptions(content_layers=("relu1_1",), style_layers=("relu1_1",), levels=7, steps=1).resolved()
    style = prepare_style(backbone, picture(32, 32, 2), options)

    (result,) = stylize([StylizeRequest(picture(32, 32, 1), style, options)], backbone)

    assert isinstance(result, StylizeResult)
    assert len(result.coarse_evaluations) == 4


def test_a_coarse_level_without_a_change_changes_nothing(picture: Picture) -> None:
    """A coarse level that changes nothing leaves the finer initial image unchanged, bit for bit."""
    initial = picture(50, 37, 0)
    coarse = shrink(initial, 1)

    assert coarse.shape == (1, 3, 25, 18)
    assert torch.equal(refine(initial, coarse, coarse), initial)


def test_a_change_of_brightness_is_carried_over(picture: Picture) -> None:
    """A coarse level that darkens the whole image darkens the finer image by the same amount."""
    initial = picture(64, 64, 0) * 0.5 + 0.4
    coarse = shrink(initial, 1)

    torch.testing.assert_close(refine(initial, coarse, coarse - 0.1), initial - 0.1, rtol=0.0, atol=1e-5)


def ramp(height: int, width: int) -> Tensor:
    """An image that brightens evenly from 0.1 at the left edge to 0.9 at the right edge, whatever the size."""
    across = (torch.arange(width) + 0.5) / width
    return (0.1 + 0.8 * across).expand(1, 3, height, width).contiguous()


def test_shrinking_moves_nothing() -> None:
    """An even ramp is still even, and in the same place, at a half and a quarter of the size."""
    for level, margin in ((1, 2), (2, 2)):
        small = shrink(ramp(32, 64), level)
        inner = (..., slice(margin, -margin))

        torch.testing.assert_close(small[inner], ramp(32 >> level, 64 >> level)[inner], rtol=0.0, atol=1e-4)


def test_shrinking_far_goes_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """No resampling shrinks by a factor above 47, CUDA's limit for antialiasing; the result is the even ramp."""
    factors: list[float] = []
    interpolate = functional.interpolate

    def recorded(image: Tensor, size: list[int], **how: Any) -> Tensor:
        factors.append(max(before / after for before, after in zip(image.shape[2:], size, strict=True)))
        return interpolate(image, size=size, **how)

    monkeypatch.setattr(functional, "interpolate", recorded)
    small = shrink(ramp(1024, 2048), 7)

    assert max(factors) <= 47
    torch.testing.assert_close(small[..., 2:-2], ramp(8, 16)[..., 2:-2], rtol=0.0, atol=1e-3)


def test_shrinking_leaves_no_moire() -> None:
    """Stripes too fine for the small image become almost grey instead of a moiré pattern."""
    stripes = (torch.arange(96) % 3 == 0).float().expand(1, 3, 96, 96).contiguous()

    small = shrink(stripes, 1)[..., 4:-4, 4:-4]

    assert small.std().item() < 0.4 * stripes.std().item()
    assert small.mean().item() == pytest.approx(1 / 3, abs=0.02)


def test_a_change_is_enlarged_in_place() -> None:
    """A ramp that a coarse level added is added to the finer image in the same place."""
    grey, change = torch.full((1, 3, 32, 64), 0.5), 0.2 * ramp(16, 32)

    found = refine(grey, shrink(grey, 1), shrink(grey, 1) + change)

    torch.testing.assert_close(found[..., 4:-4], (0.5 + 0.2 * ramp(32, 64))[..., 4:-4], rtol=0.0, atol=5e-4)


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
    """With two levels the coarse one is optimised first; the result counts the reported evaluations of each."""
    request, result, reports = stylized(backbone, picture, levels=2, init=init)

    levels = [report.level for report in reports]
    assert levels == sorted(levels, reverse=True)
    assert result.coarse_evaluations == (levels.count(1),) == (13,)
    assert result.evaluations == levels.count(0) == 13
    assert measure(result.pastiche, request, backbone).total < result.initial.total


def test_a_finer_level_starts_from_the_coarser(backbone: Backbone, picture: Picture) -> None:
    """Each level starts from its own initial image plus the change that the coarser level made to its own."""
    options = StylizeOptions.model_validate({"plateau_tolerance": 0.0, "steps": 6, "levels": 3}).resolved()
    request = StylizeRequest(picture(64, 72, 1), prepare_style(backbone, picture(64, 64, 2), options), options)
    seen: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}

    stylize([request], backbone, lambda report: seen[report.level].append(report.look()))

    initial = [shrink(request.content, level) for level in range(3)]
    torch.testing.assert_close(seen[2][0], initial[2], rtol=0.0, atol=1e-4)
    for level in (1, 0):
        expected = refine(initial[level], initial[level + 1], seen[level + 1][-1])
        assert (expected - initial[level]).abs().mean().item() > 1e-3
        torch.testing.assert_close(seen[level][0], expected, rtol=0.0, atol=1e-4)


def test_a_coarse_level_has_targets_of_its_size(convolutions: Convolutions, picture: Picture) -> None:
    """The first losses of a coarse level are those of the shrunk content against targets from the shrunk images.

    The targets are encoded with the exact network. In bf16 the content image therefore does not quite meet its own
    target, as it would if the target were encoded with the fast network.
    """
    backbone = wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16")
    request, _, reports = stylized(backbone, picture, levels=2, steps=1)

    content, style = shrink(request.content, 1), shrink(request.style.pictures[0].image, 1)
    targets = (
        encode_content(backbone.exact, content, request.options),
        encode_style(backbone.exact, style, request.options),
    )
    expected, _ = PerceptualLoss(backbone.fast, *targets, request.options).with_gradient(content)

    assert reports[0].level == 1
    assert reports[0].losses.style == pytest.approx(expected.style.item(), rel=0.02)
    assert reports[0].losses.content == pytest.approx(expected.content.item(), rel=0.2)
    assert reports[0].losses.content > 0.0


def test_coarse_levels_take_their_share_of_the_time(
    backbone: Backbone, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coarse level takes a quarter of the time budget, and full size takes the rest."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: 0.01 * next(ticks))  # however busy the machine is
    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    _, result, reports = stylized(backbone, picture, levels=2, steps=100_000, max_seconds=1.2, **layers)

    coarse, full = (max(one.seconds for one in reports if one.level == level) for level in (1, 0))
    assert result.stop_reason == "time"
    assert coarse == pytest.approx(0.25 * 1.2, abs=0.1)
    assert full == pytest.approx(1.2 - coarse, abs=0.1)


def test_one_level_means_full_size_only(backbone: Backbone, picture: Picture) -> None:
    """With one level only full size is optimised."""
    _, result, reports = stylized(backbone, picture, levels=1)

    assert result.coarse_evaluations == ()
    assert {report.level for report in reports} == {0}


def test_coarse_steps_have_a_limit(backbone: Backbone, picture: Picture) -> None:
    """A coarse level takes at most `COARSE_STEPS` steps, even where full size takes more."""
    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    _, result, _ = stylized(backbone, picture, levels=2, steps=COARSE_STEPS + 5, **layers)

    assert result.coarse_evaluations == (COARSE_STEPS + 1,)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_loss_never_ends_above_where_it_started(backbone: Backbone, picture: Picture, steps: int) -> None:
    """However few the steps, a start from a coarse level that is worse than the initial image is discarded."""
    request, result, _ = stylized(backbone, picture, levels=3, steps=steps, style_weight=0.01)

    assert measure(result.pastiche, request, backbone).total <= result.initial.total * (1.0 + 1e-3)
