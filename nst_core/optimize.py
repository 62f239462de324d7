"""The one loop for every optimizer and objective, and when it stops.

Every pastiche of a batch stops by itself; one that has stopped leaves the batch and costs nothing more.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.values import LossValues
from nst_core.optimizers.adam import Adam
from nst_core.optimizers.coordinates import Coordinates, FourierBox, NormalisedPixels
from nst_core.optimizers.lbfgs import HISTORY, LBFGS
from nst_core.optimizers.protocol import Optimizer
from nst_core.options import StylizeOptions

StopReason = Literal["threshold", "settled", "steps", "time", "diverged"]

LEAST_CHANGE = 1e-3
"""Relative fall of the loss before a picture that missed the threshold is looked at again."""

DIVERGED_AFTER = 10
"""Evaluations in a row that are not finite before a pastiche is given up; L-BFGS shortens its step in between."""


@dataclass(frozen=True)
class StepReport:
    """One evaluation of one pastiche.

    Attributes:
        pair: its place in the batch.
        level: how often the size was halved: 0 is full size.
        step: accepted steps at this level so far.
        evaluation: 1, 2, ... at this level.
        losses: as the optimizer sees them, at the level's size.
        seconds: since the level began.
        look: makes the best pastiche so far, shape (1, 3, H, W) of the level's size, on its device, not clamped. To be
            called before the report's listener returns; it costs nothing where nobody looks.
    """

    pair: int
    level: int
    step: int
    evaluation: int
    losses: LossValues
    seconds: float
    look: Callable[[], Tensor] = field(repr=False, compare=False)


OnStep = Callable[[StepReport], None]

Confirm = Callable[[int, Tensor], float]
"""(place in the batch, pastiche of shape (1, 3, H, W)) -> total loss of the picture that would be saved of it."""


@dataclass(frozen=True)
class Outcome:
    """How the optimisation of one pastiche ended.

    Attributes:
        pastiche: the best one seen, shape (1, 3, H, W), not clamped.
        losses: of that pastiche, as the optimizer saw them.
        steps: accepted steps.
        evaluations: passes forward and backward, the first one included.
    """

    pastiche: Tensor
    losses: LossValues
    steps: int
    evaluations: int
    stop_reason: StopReason
    seconds: float


@dataclass
class _Progress:
    """What is known of one pastiche while it is optimised."""

    pair: int
    best: LossValues | None = None
    best_totals: list[float] = field(default_factory=list)
    evaluations: int = 0
    not_finite: int = 0
    aim: float | None = None  # the loss below which the saved one is expected to meet the threshold


def optimize(
    start: Tensor,
    loss: PerceptualLoss,
    options: StylizeOptions,
    on_step: OnStep | None = None,
    *,
    confirm: Confirm | None = None,
    level: int = 0,
    history: int = HISTORY,
) -> list[Outcome]:
    """Minimise the loss of every pastiche of a batch.

    Args:
        start: the first pastiches in [0, 1], shape (N, 3, H, W).
        loss: of the same batch.
        options: resolved.
        on_step: called after every evaluation of every pastiche.
        confirm: asked before a pastiche stops at `loss_threshold`, so that what holds for the optimizer's own loss,
            of pixels not yet clamped and in its own precision, holds for the saved picture. None takes its word.
        level: for the reports alone.
        history: pairs that L-BFGS keeps.

    Returns:
        One outcome per pastiche, in order. A loss that is not finite ends a pastiche as `diverged`.
    """
    assert options.steps is not None, "options must be resolved"
    began = time.monotonic()
    coordinates, optimizer = _choose_optimizer(start, options, history)
    progress = [_Progress(pair, aim=options.loss_threshold) for pair in range(start.shape[0])]
    best = optimizer.point.clone()
    lowest = torch.full((start.shape[0],), torch.inf, device=start.device)
    outcomes: dict[int, Outcome] = {}
    unit: Tensor | None = None
    while progress:
        terms, gradients = evaluate(loss, coordinates, optimizer.point)
        improved = torch.isfinite(terms.total) & (terms.total < lowest)
        lowest = torch.where(improved, terms.total, lowest)
        best = torch.where(improved[:, None], optimizer.point, best)
        # The objective is divided by its first value, so that no recipe's unit matters to the optimizer.
        unit = _unit(terms.total) if unit is None else unit
        optimizer.tell(terms.total / unit, gradients / unit[:, None])
        # The one place where the host waits for a device, after all the work of this step has been handed out.
        losses, steps = terms.values(), optimizer.steps.tolist()
        for one, seen in zip(progress, losses, strict=True):
            _note(one, seen)
        seconds = time.monotonic() - began
        if on_step is not None:
            looks = [partial(_look, coordinates, best[row : row + 1]) for row in range(len(progress))]
            _report(on_step, level, progress, losses, steps, seconds, looks)
        for row, one in enumerate(progress):
            if confirm is not None and _meets_aim(one):
                _settle_aim(one, options, confirm(one.pair, coordinates.decode(best[row : row + 1])))
        reasons = [_stop_reason(one, options, seconds) for one in progress]
        for row, (one, reason) in enumerate(zip(progress, reasons, strict=True)):
            if reason is not None:
                pastiche = coordinates.decode(best[row : row + 1])
                outcomes[one.pair] = Outcome(
                    pastiche, one.best or losses[row], steps[row], one.evaluations, reason, seconds
                )
        going = [row for row, reason in enumerate(reasons) if reason is None]
        if len(going) < len(progress):
            index = torch.tensor(going, dtype=torch.int64, device=best.device)
            optimizer.keep(index)
            loss, best, unit, lowest = loss.keep(index), best[index], unit[index], lowest[index]
            progress = [progress[row] for row in going]
    return [outcomes[pair] for pair in sorted(outcomes)]


def _choose_optimizer(start: Tensor, options: StylizeOptions, history: int) -> tuple[Coordinates, Optimizer]:
    height, width = start.shape[2:]
    if options.optimizer == "lbfgs":
        box = FourierBox(height, width, start.device)
        return box, LBFGS(box.encode(start), history=history)
    assert options.learning_rate is not None, "options must be resolved"
    pixels = NormalisedPixels(height, width, start.device)
    return pixels, Adam(pixels.encode(start), learning_rate=options.learning_rate)


def evaluate(loss: PerceptualLoss, coordinates: Coordinates, point: Tensor) -> tuple[LossTerms, Tensor]:
    """Losses at a point, and their gradients with respect to the coordinates, shape (N, n)."""
    image = coordinates.decode(point)
    terms, pixel_gradients = loss.with_gradient(image)
    return terms, coordinates.pull_back(image, pixel_gradients)


def _unit(first: Tensor) -> Tensor:
    usable = torch.isfinite(first) & (first > 0)
    return torch.where(usable, first, 1.0)


def _note(one: _Progress, losses: LossValues) -> None:
    """Take one evaluation down."""
    one.evaluations += 1
    finite = math.isfinite(losses.total)
    one.not_finite = 0 if finite else one.not_finite + 1
    if finite and (one.best is None or losses.total < one.best.total):
        one.best = losses
    one.best_totals.append(one.best.total if one.best is not None else math.inf)


def _report(
    on_step: OnStep,
    level: int,
    progress: list[_Progress],
    losses: list[LossValues],
    steps: list[int],
    seconds: float,
    looks: Sequence[Callable[[], Tensor]],
) -> None:
    for one, seen, step, look in zip(progress, losses, steps, looks, strict=True):
        on_step(StepReport(one.pair, level, step, one.evaluations, seen, seconds, look))


def _look(coordinates: Coordinates, point: Tensor) -> Tensor:
    return coordinates.decode(point)


def _stop_reason(one: _Progress, options: StylizeOptions, seconds: float) -> StopReason | None:
    assert options.steps is not None, "options must be resolved"
    if one.best is None or one.not_finite >= DIVERGED_AFTER:
        return "diverged"
    if one.best.total == 0.0:
        return "settled"
    if _meets_aim(one):
        return "threshold"
    if one.evaluations > options.steps:
        return "steps"
    if options.max_seconds is not None and seconds >= options.max_seconds:
        return "time"
    return "settled" if _settled(one.best_totals, options) else None


def _meets_aim(one: _Progress) -> bool:
    return one.aim is not None and one.best is not None and one.best.total <= one.aim


def _settle_aim(one: _Progress, options: StylizeOptions, saved: float) -> None:
    """Where the saved picture does not meet the threshold yet, aim lower by as much as it is above."""
    assert one.best is not None, "there is a pastiche to save"
    assert options.loss_threshold is not None, "there is a threshold to meet"
    if not saved <= options.loss_threshold:
        one.aim = min(one.best.total * options.loss_threshold / saved, one.best.total * (1.0 - LEAST_CHANGE))


def _settled(best_totals: list[float], options: StylizeOptions) -> bool:
    """Whether the best loss fell by less than a share of itself over the last `plateau_window` evaluations."""
    if options.plateau_tolerance == 0.0 or len(best_totals) <= options.plateau_window:
        return False
    before, now = best_totals[-1 - options.plateau_window], best_totals[-1]
    return before - now < options.plateau_tolerance * before
