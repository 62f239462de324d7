"""When a pastiche stops, and what is known of it until then."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions

StopReason = Literal["threshold", "settled", "steps", "time", "diverged"]

LEAST_CHANGE = 1e-3
"""Relative fall of the loss before a picture that missed the threshold is measured again."""

DIVERGED_AFTER = 10
"""Evaluations in a row that are not finite before a pastiche is given up; L-BFGS shortens its step in between."""


@dataclass
class Progress:
    """What is known of one pastiche while it is optimised.

    Attributes:
        pair: its place in the batch that it began in.
        best: losses of the best point so far; None while none was finite.
        best_totals: the lowest total after each evaluation.
        evaluations: so far.
        not_finite: how many of the last ones were not, in a row.
        look_below: the total at which the saved picture is worth measuring (again).
    """

    pair: int
    best: LossValues | None = None
    best_totals: list[float] = field(default_factory=list)
    evaluations: int = 0
    not_finite: int = 0
    look_below: float = math.inf

    def note(self, losses: LossValues) -> None:
        """Take one evaluation down."""
        self.evaluations += 1
        finite = math.isfinite(losses.total)
        self.not_finite = 0 if finite else self.not_finite + 1
        if finite and (self.best is None or losses.total < self.best.total):
            self.best = losses
        self.best_totals.append(self.best.total if self.best is not None else math.inf)


def stop_reason(
    one: Progress, options: StylizeOptions, seconds: float, saved_loss: Callable[[], float]
) -> StopReason | None:
    """Why a pastiche stops after its last evaluation; None where it goes on.

    Args:
        one: what is known of it.
        options: resolved.
        seconds: since its level began.
        saved_loss: measures the loss of the picture that would be saved of the best point so far.
    """
    assert options.steps is not None, "options must be resolved"
    if one.best is None or one.not_finite >= DIVERGED_AFTER:
        return "diverged"
    if one.best.total == 0.0:
        return "settled"
    if _meets_threshold(one, one.best.total, options.loss_threshold, saved_loss):
        return "threshold"
    if one.evaluations > options.steps:
        return "steps"
    if options.max_seconds is not None and seconds >= options.max_seconds:
        return "time"
    return "settled" if _settled(one.best_totals, options) else None


def _meets_threshold(one: Progress, best: float, threshold: float | None, saved_loss: Callable[[], float]) -> bool:
    """Whether the saved picture does; it is measured where the optimizer's loss does, and anew only after a fall."""
    if threshold is None or best > min(threshold, one.look_below):
        return False
    one.look_below = best * (1.0 - LEAST_CHANGE)
    return saved_loss() <= threshold


def _settled(best_totals: list[float], options: StylizeOptions) -> bool:
    """Whether the best loss fell by less than a share of itself over the last `plateau_window` evaluations."""
    assert options.plateau_tolerance is not None, "options must be resolved"
    if options.plateau_tolerance == 0.0 or len(best_totals) <= options.plateau_window:
        return False
    before, now = best_totals[-1 - options.plateau_window], best_totals[-1]
    return before - now < options.plateau_tolerance * before
