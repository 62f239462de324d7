"""The optimisation loop for every optimizer and objective.

The optimised image is the saved image: losses are computed on what the canvas shows, whatever the coordinates. Every
pastiche of a batch stops by itself; a stopped one leaves the batch and costs nothing more. On a GPU, where every new
batch size has a one-time cost, some leave later and are evaluated needlessly until then.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.values import LossValues
from nst_core.machine.footprint import MemoryPlan
from nst_core.machine.memory import HISTORY
from nst_core.optimizers.adam import Adam
from nst_core.optimizers.coordinates import Coordinates, FourierBox, NormalisedPixels
from nst_core.optimizers.lbfgs import LBFGS
from nst_core.optimizers.protocol import Optimizer
from nst_core.options import StylizeOptions
from nst_core.scene.canvas import Canvas
from nst_core.stopping import Progress, StopReason, stop_reason


@dataclass(frozen=True)
class StepReport:
    """One evaluation of one pastiche.

    Attributes:
        pair: the pastiche's index in the batch.
        level: how often the size was halved; 0 is full size.
        step: accepted steps at this level so far.
        evaluation: the number of this evaluation at this level, from 1.
        losses: the losses as the optimizer sees them, at the level's size.
        seconds: time since the level began.
        look: renders the best pastiche so far, shape (1, 3, H, W) at the level's size, in [0, 1], on its device. Call
            it before the callback that received the report returns; it costs nothing if it is not called.
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
"""Takes the index in the batch and a pastiche of shape (1, 3, H, W); returns the fp32 total loss of the image that
would be saved."""


@dataclass(frozen=True)
class Outcome:
    """How the optimisation of one pastiche ended.

    Attributes:
        pastiche: the best pastiche seen, shape (1, 3, H, W), in [0, 1].
        losses: the losses of that pastiche as the optimizer saw them.
        steps: the number of accepted steps.
        evaluations: the number of forward and backward passes, the first one included.
    """

    pastiche: Tensor
    losses: LossValues
    steps: int
    evaluations: int
    stop_reason: StopReason
    seconds: float


class _Batch:
    """The optimizer state of a batch: the best point of each pastiche so far, and the next point to evaluate."""

    def __init__(
        self, start: Tensor, loss: PerceptualLoss, canvas: Canvas, options: StylizeOptions, plan: MemoryPlan
    ) -> None:
        self.loss, self.canvas = loss, canvas
        self.coordinates, self.optimizer = _choose_optimizer(start, options, plan)
        self.best = self.optimizer.point.clone()
        self.lowest = torch.full((start.shape[0],), torch.inf, dtype=torch.float32, device=start.device)
        self.unit: Tensor | None = None

    def advance(self) -> LossTerms:
        """Evaluate every pastiche once, and let the optimizer take a step."""
        terms, gradients = evaluate(self.loss, self.canvas, self.coordinates, self.optimizer.point)
        improved = terms.total < self.lowest  # always False for NaN
        self.lowest = torch.where(improved, terms.total, self.lowest)
        torch.where(improved[:, None], self.optimizer.point, self.best, out=self.best)
        # The objective is divided by its first value, so that the optimizer does not depend on a recipe's units.
        self.unit = _unit(terms.total) if self.unit is None else self.unit
        self.optimizer.tell(terms.total / self.unit, gradients.div_(self.unit[:, None]))
        return terms

    def pastiche(self, row: int) -> Tensor:
        """Return the best pastiche of a row as it would be saved, shape (1, 3, H, W), in [0, 1]."""
        canvas = self.canvas.keep(torch.tensor([row], device=self.best.device))
        return canvas.saved(canvas.shown(self.coordinates.decode(self.best[row : row + 1])))

    def keep(self, rows: list[int]) -> None:
        """Continue with some of the rows only."""
        assert self.unit is not None, "nothing stops before its first evaluation"
        index = torch.tensor(rows, dtype=torch.int64, device=self.best.device)
        self.optimizer.keep(index)
        self.loss, self.canvas, self.best = self.loss.keep(index), self.canvas.keep(index), self.best[index]
        self.unit, self.lowest = self.unit[index], self.lowest[index]


def optimize(
    start: Tensor,
    loss: PerceptualLoss,
    options: StylizeOptions,
    on_step: OnStep | None = None,
    *,
    canvas: Canvas | None = None,
    confirm: Confirm | None = None,
    level: int = 0,
    plan: MemoryPlan | None = None,
    few_shapes: bool | None = None,
) -> list[Outcome]:
    """Minimise the loss of every pastiche of a batch.

    Args:
        start: the initial pastiches in [0, 1], shape (N, 3, H, W).
        loss: the losses of the same batch.
        options: resolved options.
        on_step: called after every evaluation of every pastiche.
        canvas: what may change in the pastiches; None means everything.
        confirm: computes the loss of the saved image before a pastiche stops at `loss_threshold`: rounding to the
            file's bits and to the optimizer's precision can make it differ from the optimizer's loss. None trusts the
            optimizer's loss.
        level: the pyramid level, used only in the step reports.
        plan: sets the length and precision of L-BFGS's history; None means full length in fp32.
        few_shapes: whether the batch shrinks only to a half, a quarter, and so on; None means on a GPU, where that is
            best.

    Returns:
        One outcome per pastiche, in order. A loss that is not finite ends a pastiche as `diverged`.
    """
    began = time.monotonic()
    plan = plan or MemoryPlan(start.shape[0], recompute=False, history=HISTORY)
    few_shapes = start.device.type == "cuda" if few_shapes is None else few_shapes
    batch = _Batch(start, loss, canvas or Canvas(start), options, plan)
    progress = [Progress(pair) for pair in range(start.shape[0])]
    del start  # no longer needed, and for a large image a noticeable part of all memory
    outcomes: dict[int, Outcome] = {}
    while going := [row for row, state in enumerate(progress) if state.pair not in outcomes]:
        progress = _shrink_batch(batch, progress, going, few_shapes=few_shapes)
        terms = batch.advance()
        # The only place where the host waits for the device, after all work of this step has been queued.
        losses, steps = terms.values(), batch.optimizer.steps.tolist()
        active = {row: state for row, state in enumerate(progress) if state.pair not in outcomes}
        for row, state in active.items():
            state.note(losses[row])
        seconds = time.monotonic() - began
        if on_step is not None:
            for row, state in active.items():
                look = partial(batch.pastiche, row)
                on_step(StepReport(state.pair, level, steps[row], state.evaluations, losses[row], seconds, look))
        for row, state in active.items():
            reason = stop_reason(state, options, seconds, partial(_saved_loss, batch, row, state, confirm))
            if reason is not None:
                best = state.best or losses[row]
                outcomes[state.pair] = Outcome(
                    batch.pastiche(row), best, steps[row], state.evaluations, reason, seconds
                )
    return [outcomes[pair] for pair in sorted(outcomes)]


def _shrink_batch(batch: _Batch, progress: list[Progress], going: list[int], *, few_shapes: bool) -> list[Progress]:
    """Shrink the batch to the rows that have not stopped, plus stopped ones up to the next permitted batch size."""
    size = _halved(len(progress), len(going)) if few_shapes else len(going)
    if size == len(progress):
        return progress
    stopped = [row for row in range(len(progress)) if row not in going]
    rows = sorted([*going, *stopped][:size])
    batch.keep(rows)
    return [progress[row] for row in rows]


def _halved(size: int, least: int) -> int:
    """Halve a size, rounding up, for as long as it stays at or above a minimum of at least 1.

    >>> _halved(12, 7), _halved(12, 6), _halved(12, 2), _halved(7, 1)
    (12, 6, 2, 1)
    """
    while size > 1 and (size + 1) // 2 >= least:
        size = (size + 1) // 2
    return size


def _choose_optimizer(start: Tensor, options: StylizeOptions, plan: MemoryPlan) -> tuple[Coordinates, Optimizer]:
    height, width = start.shape[2:]
    if options.optimizer == "lbfgs":
        box = FourierBox(height, width, start.device)
        # A step adds at most one pair to the history, so that few steps need only a short one.
        history = min(plan.history, options.steps or plan.history)
        kept_as = torch.bfloat16 if plan.half_history else torch.float32
        return box, LBFGS(box.encode(start), box.bands, history=history, kept_as=kept_as)
    assert options.learning_rate is not None, "options must be resolved"
    pixels = NormalisedPixels(height, width, start.device)
    return pixels, Adam(pixels.encode(start), learning_rate=options.learning_rate)


def evaluate(loss: PerceptualLoss, canvas: Canvas, coordinates: Coordinates, point: Tensor) -> tuple[LossTerms, Tensor]:
    """Evaluate the images at a point, as the canvas shows them.

    Returns:
        The losses, and the gradient of each total with respect to the coordinates, shape (N, n).
    """
    image = coordinates.decode(point)
    terms, of_shown = loss.with_gradient(canvas.shown(image))
    of_image = canvas.pull_back(image, of_shown)
    del of_shown
    return terms, coordinates.pull_back(image, of_image)


def _unit(first: Tensor) -> Tensor:
    usable = torch.isfinite(first) & (first > 0)
    return torch.where(usable, first, 1.0)


def _saved_loss(batch: _Batch, row: int, state: Progress, confirm: Confirm | None) -> float:
    assert state.best is not None, "there is a pastiche to save"
    return state.best.total if confirm is None else confirm(state.pair, batch.pastiche(row))
