"""Stop rules: decide when the optimisation of a pastiche ends."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions

StopReason = Literal["threshold", "settled", "steps", "time", "diverged"]

LEAST_CHANGE = 1e-3
"""Relative fall of the optimizer's loss before an image that missed the threshold is measured again."""

DIVERGED_AFTER = 10
"""Consecutive non-finite evaluations after which a pastiche is given up; L-BFGS shortens its step in between."""


@dataclass
class Progress:
    """The state of one pastiche while it is optimised.

    Attributes:
        pair: its index in the original batch.
        best: the losses of the best point so far; None while none was finite.
        best_totals: the lowest total loss after each evaluation.
        evaluations: the number of evaluations so far.
        not_finite: the number of consecutive non-finite evaluations up to now.
        look_below: the total loss below which the saved image is worth measuring (again).
    """

    pair: int
    best: LossValues | None = None
    best_totals: list[float] = field(default_factory=list)
    evaluations: int = 0
    not_finite: int = 0
    look_below: float = math.inf

    def note(self, losses: LossValues) -> None:
        """Record one evaluation."""
        self.evaluations += 1
        finite = math.isfinite(losses.total)
        self.not_finite = 0 if finite else self.not_finite + 1
        if finite and (self.best is None or losses.total < self.best.total):
            self.best = losses
        self.best_totals.append(self.best.total if self.best is not None else math.inf)


def stop_reason(
    progress: Progress, options: StylizeOptions, seconds: float, saved_loss: Callable[[], float]
) -> StopReason | None:
    """Return why a pastiche stops after its last evaluation, or None if it continues.

    Args:
        progress: the state of the pastiche.
        options: resolved options.
        seconds: time since its level began.
        saved_loss: measures the loss of the image that would be saved from the best point so far.
    """
    assert options.steps is not None, "options must be resolved"
    if progress.best is None or progress.not_finite >= DIVERGED_AFTER:
        return "diverged"
    if progress.best.total == 0.0:
        return "settled"
    if _meets_threshold(progress, progress.best.total, options.loss_threshold, saved_loss):
        return "threshold"
    if progress.evaluations > options.steps:
        return "steps"
    if options.max_seconds is not None and seconds >= options.max_seconds:
        return "time"
    return "settled" if _settled(progress.best_totals, options) else None


def _meets_threshold(progress: Progress, best: float, threshold: float | None, saved_loss: Callable[[], float]) -> bool:
    """Return whether the saved image meets the threshold.

    The saved image is measured only where the optimizer's loss meets the threshold, and again only after that loss
    fell.
    """
    if threshold is None or best > min(threshold, progress.look_below):
        return False
    progress.look_below = best * (1.0 - LEAST_CHANGE)
    return saved_loss() <= threshold


def _settled(best_totals: list[float], options: StylizeOptions) -> bool:
    """Return whether the best loss has reached a plateau.

    It has if it fell by less than `plateau_tolerance` of itself over the last `plateau_window` evaluations.
    """
    assert options.plateau_tolerance is not None, "options must be resolved"
    if options.plateau_tolerance == 0.0 or len(best_totals) <= options.plateau_window:
        return False
    before, now = best_totals[-1 - options.plateau_window], best_totals[-1]
    return before - now < options.plateau_tolerance * before
