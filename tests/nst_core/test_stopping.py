"""nst_core.stopping: the rules by themselves. tests/nst_core/test_optimize.py has them in the loop."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.stopping import DIVERGED_AFTER, Progress, StopReason, stop_reason


def after(totals: Sequence[float]) -> Progress:
    """Return the state of a pastiche after evaluations with these total losses."""
    progress = Progress(0)
    for total in totals:
        progress.note(LossValues(total, total, 0.0, 0.0))
    return progress


def reason(
    totals: Sequence[float], seconds: float = 0.0, saved: Callable[[], float] = lambda: math.inf, **options: Any
) -> StopReason | None:
    """Return why a pastiche stops after these losses; no rule of the options applies but those that are given."""
    chosen = StylizeOptions.model_validate({"plateau_tolerance": 0.0} | options).resolved()
    return stop_reason(after(totals), chosen, seconds, saved)


@pytest.mark.parametrize(
    ("totals", "options", "expected"),
    [
        ([3.0, 2.0, 1.0], {}, None),
        ([3.0, 0.0], {}, "settled"),
        ([math.nan], {}, "diverged"),
        ([3.0, 2.0], {"steps": 1}, "steps"),
        ([3.0, 2.0], {"steps": 2}, None),
        ([2.0] * 4, {"plateau_tolerance": 0.1, "plateau_window": 3}, "settled"),
        ([2.0] * 3, {"plateau_tolerance": 0.1, "plateau_window": 3}, None),
        ([2.0, 1.9, 1.8, 1.7], {"plateau_tolerance": 0.1, "plateau_window": 3}, None),
        ([2.0, 1.9, 3.0, 1.85], {"plateau_tolerance": 0.1, "plateau_window": 3}, "settled"),
    ],
)
def test_each_rule(totals: list[float], options: dict[str, Any], expected: StopReason | None) -> None:
    """A pastiche stops when a rule is met, judged by its best loss so far, and continues otherwise."""
    assert reason(totals, **options) == expected


def test_time_is_up_at_the_given_seconds() -> None:
    """A pastiche continues until its seconds have passed."""
    assert reason([1.0], 9.9, max_seconds=10.0) is None
    assert reason([1.0], 10.0, max_seconds=10.0) == "time"


def test_a_pastiche_diverges_after_several_losses_in_a_row_that_are_not_finite() -> None:
    """A single finite loss in between starts the count anew."""
    bad = [math.inf] * (DIVERGED_AFTER - 1)

    assert reason([1.0, *bad, 2.0, *bad]) is None
    assert reason([1.0, *bad, math.nan]) == "diverged"


def test_the_threshold_is_met_by_the_saved_image() -> None:
    """The saved image is measured only once the optimizer's loss is low enough, and its own loss decides."""
    measured = []

    def saved() -> float:
        measured.append(1)
        return 1.2

    assert reason([3.0], saved=saved, loss_threshold=1.5) is None
    assert measured == []
    assert reason([3.0, 1.4], saved=saved, loss_threshold=1.5) == "threshold"
    assert reason([3.0, 1.0], saved=saved, loss_threshold=1.1) is None
    assert len(measured) == 2


def test_an_image_that_missed_the_threshold_is_measured_again_only_after_its_loss_fell() -> None:
    """Measuring takes a pass in fp32, so that it is not repeated for an image that is hardly better."""
    measured = []
    options, progress = StylizeOptions(loss_threshold=1.5, plateau_tolerance=0.0).resolved(), after([1.0])

    def saved() -> float:
        measured.append(1)
        return 2.0

    for total in (1.0, 0.9999, 0.9):
        progress.note(LossValues(total, total, 0.0, 0.0))
        assert stop_reason(progress, options, 0.0, saved) is None
    assert len(measured) == 2
