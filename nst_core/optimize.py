"""The one loop for every optimizer and objective.

What is optimised is what is saved: losses are those of what the canvas shows, whatever the coordinates.
Every pastiche of a batch stops by itself; one that has stopped leaves the batch and costs nothing more. On a GPU, where
every size of a batch that is new has its price, some leave late, and are worked on in vain until then.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.values import LossValues
from nst_core.machine.footprint import MemoryPlan
from nst_core.machine.memory import HISTORY
from nst_core.machine.runtime import cudnn_autotuned, seen_before
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
        pair: its place in the batch.
        level: how often the size was halved: 0 is full size.
        step: accepted steps at this level so far.
        evaluation: 1, 2, ... at this level.
        losses: as the optimizer sees them, at the level's size.
        seconds: since the level began.
        look: makes the best pastiche so far, shape (1, 3, H, W) of the level's size, in [0, 1], on its device. To be
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
"""(place in the batch, pastiche of shape (1, 3, H, W)) -> fp32 total loss of the picture that is saved of it."""


@dataclass(frozen=True)
class Outcome:
    """How the optimisation of one pastiche ended.

    Attributes:
        pastiche: the best one seen, shape (1, 3, H, W), in [0, 1].
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


class _Batch:
    """What is optimised: the best point of each pastiche so far, and where to evaluate next."""

    def __init__(
        self, start: Tensor, loss: PerceptualLoss, canvas: Canvas, options: StylizeOptions, plan: MemoryPlan
    ) -> None:
        self.loss, self.canvas = loss, canvas
        self.coordinates, self.optimizer = _choose_optimizer(start, options, plan)
        self.best = self.optimizer.point.clone()
        self.lowest = torch.full((start.shape[0],), torch.inf, dtype=torch.float32, device=start.device)
        self.unit: Tensor | None = None
        self.shape_repeats = seen_before(tuple(start.shape))

    def advance(self) -> LossTerms:
        """One evaluation of every pastiche, and a step of the optimizer."""
        with cudnn_autotuned(wanted=self.shape_repeats):
            terms, gradients = evaluate(self.loss, self.canvas, self.coordinates, self.optimizer.point)
        improved = terms.total < self.lowest  # never, where it is not a number
        self.lowest = torch.where(improved, terms.total, self.lowest)
        torch.where(improved[:, None], self.optimizer.point, self.best, out=self.best)
        # The objective is divided by its first value, so that no recipe's unit matters to the optimizer.
        self.unit = _unit(terms.total) if self.unit is None else self.unit
        self.optimizer.tell(terms.total / self.unit, gradients.div_(self.unit[:, None]))
        return terms

    def pastiche(self, row: int) -> Tensor:
        """The best one of a row, as it would be saved, shape (1, 3, H, W), in [0, 1]."""
        canvas = self.canvas.keep(torch.tensor([row], device=self.best.device))
        return canvas.saved(canvas.shown(self.coordinates.decode(self.best[row : row + 1])))

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the rows only."""
        assert self.unit is not None, "nothing stops before its first evaluation"
        index = torch.tensor(rows, dtype=torch.int64, device=self.best.device)
        self.optimizer.keep(index)
        self.loss, self.canvas, self.best = self.loss.keep(index), self.canvas.keep(index), self.best[index]
        self.unit, self.lowest = self.unit[index], self.lowest[index]
        self.shape_repeats = seen_before((len(rows), *self.canvas.contents.shape[1:]))


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
        start: the first pastiches in [0, 1], shape (N, 3, H, W).
        loss: of the same batch.
        options: resolved.
        on_step: called after every evaluation of every pastiche.
        canvas: what may change of the pastiches; None is all.
        confirm: asked before a pastiche stops at `loss_threshold`: rounding, to the file's bits and to the optimizer's
            precision, is what may still lie between its loss and that of the file. None takes the optimizer's word.
        level: for the reports alone.
        plan: says how long a history L-BFGS keeps, and in which precision; None is the whole, in fp32.
        few_shapes: whether the batch shrinks to a half, a quarter, ... alone; None is on a GPU, where that is best.

    Returns:
        One outcome per pastiche, in order. A loss that is not finite ends a pastiche as `diverged`.
    """
    began = time.monotonic()
    plan = plan or MemoryPlan(start.shape[0], recompute=False, history=HISTORY)
    few_shapes = start.device.type == "cuda" if few_shapes is None else few_shapes
    batch = _Batch(start, loss, canvas or Canvas(start), options, plan)
    progress = [Progress(pair) for pair in range(start.shape[0])]
    del start  # which of a large picture is a part of all memory that nobody needs from here on
    outcomes: dict[int, Outcome] = {}
    while going := [row for row, one in enumerate(progress) if one.pair not in outcomes]:
        progress = _fewer(batch, progress, going, few_shapes=few_shapes)
        terms = batch.advance()
        # The one place where the host waits for a device, after all the work of this step has been handed out.
        losses, steps = terms.values(), batch.optimizer.steps.tolist()
        at_work = {row: one for row, one in enumerate(progress) if one.pair not in outcomes}
        for row, one in at_work.items():
            one.note(losses[row])
        seconds = time.monotonic() - began
        if on_step is not None:
            _report(on_step, level, at_work, losses, steps, seconds, batch)
        for row, one in at_work.items():
            reason = stop_reason(one, options, seconds, partial(_saved_loss, batch, row, one, confirm))
            if reason is not None:
                best = one.best or losses[row]
                outcomes[one.pair] = Outcome(batch.pastiche(row), best, steps[row], one.evaluations, reason, seconds)
    return [outcomes[pair] for pair in sorted(outcomes)]


def _fewer(batch: _Batch, progress: list[Progress], going: list[int], *, few_shapes: bool) -> list[Progress]:
    """The batch goes on with the rows that have not stopped, and with as many others as its next size has room for."""
    size = _halved(len(progress), len(going)) if few_shapes else len(going)
    if size == len(progress):
        return progress
    stopped = [row for row in range(len(progress)) if row not in going]
    rows = sorted([*going, *stopped][:size])
    batch.keep(rows)
    return [progress[row] for row in rows]


def _halved(size: int, least: int) -> int:
    """The smallest of a size, its half, its quarter, ..., that is not below another one of at least 1.

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
        # A step is a pair at most: for few steps little has to be remembered.
        history = min(plan.history, options.steps or plan.history)
        kept_as = torch.bfloat16 if plan.half_history else torch.float32
        return box, LBFGS(box.encode(start), box.bands, history=history, kept_as=kept_as)
    assert options.learning_rate is not None, "options must be resolved"
    pixels = NormalisedPixels(height, width, start.device)
    return pixels, Adam(pixels.encode(start), learning_rate=options.learning_rate)


def evaluate(loss: PerceptualLoss, canvas: Canvas, coordinates: Coordinates, point: Tensor) -> tuple[LossTerms, Tensor]:
    """Losses of what is shown of the images at a point, and their gradients by coordinates, shape (N, n)."""
    image = coordinates.decode(point)
    terms, of_shown = loss.with_gradient(canvas.shown(image))
    of_image = canvas.pull_back(image, of_shown)
    del of_shown
    return terms, coordinates.pull_back(image, of_image)


def _unit(first: Tensor) -> Tensor:
    usable = torch.isfinite(first) & (first > 0)
    return torch.where(usable, first, 1.0)


def _report(
    on_step: OnStep,
    level: int,
    at_work: Mapping[int, Progress],
    losses: list[LossValues],
    steps: list[int],
    seconds: float,
    batch: _Batch,
) -> None:
    for row, one in at_work.items():
        look = partial(batch.pastiche, row)
        on_step(StepReport(one.pair, level, steps[row], one.evaluations, losses[row], seconds, look))


def _saved_loss(batch: _Batch, row: int, one: Progress, confirm: Confirm | None) -> float:
    assert one.best is not None, "there is a pastiche to save"
    return one.best.total if confirm is None else confirm(one.pair, batch.pastiche(row))
