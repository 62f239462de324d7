"""The loss history of a pair: a few dozen evenly spaced samples, however many evaluations there were.

Every evaluation is offered as a sample, which costs next to nothing because its losses are known anyway. When there
are too many samples, every other one is dropped and the sampling stride is doubled.
"""

import math
from dataclasses import dataclass, field

from flows.records.attempts import LossSample
from nst_core.optimize import OnStep, StepReport

MOST = 32
"""The most samples of a pair at each level, the first evaluation included; the last one is kept in addition."""


@dataclass
class _Level:
    """The samples of one pair at one level."""

    stride: int = 1
    count: int = 0
    samples: list[LossSample] = field(default_factory=list)
    last: LossSample | None = None

    def add(self, sample: LossSample, most: int) -> None:
        if self.count % self.stride == 0:
            self.samples.append(sample)
        self.count += 1
        self.last = sample
        if len(self.samples) > most:
            self.samples = self.samples[::2]
            self.stride *= 2

    def all(self) -> list[LossSample]:
        has_last = self.last is None or self.samples[-1] == self.last
        return self.samples if has_last else [*self.samples, self.last]  # type: ignore[list-item]  # it is not None


class Histories:
    """The loss histories of a chunk's pairs; an instance is the engine's `on_step` callback.

    Args:
        pairs: the number of pairs in the chunk.
    """

    def __init__(self, pairs: int) -> None:
        self._levels: list[dict[int, _Level]] = [{} for _ in range(pairs)]

    def __call__(self, step: StepReport) -> None:
        """Record one evaluation of one pair."""
        losses = step.losses
        if not math.isfinite(losses.total):  # neither JSON nor a plot can represent it
            return
        sample = LossSample(
            level=step.level,
            step=step.step,
            evaluation=step.evaluation,
            total_loss=_short(losses.total),
            content_loss=_short(losses.content),
            style_loss=_short(losses.style),
            tv_loss=_short(losses.tv),
            seconds=round(step.seconds, 2),
        )
        self._levels[step.pair].setdefault(step.level, _Level()).add(sample, MOST)

    def of(self, pair: int) -> tuple[LossSample, ...]:
        """Return a pair's samples, the coarsest level first, each level in order."""
        levels = self._levels[pair]
        return tuple(sample for level in sorted(levels, reverse=True) for sample in levels[level].all())


def each_of(*callbacks: OnStep | None) -> OnStep:
    """Return a callback that calls each of these that is not None."""
    given = [callback for callback in callbacks if callback is not None]

    def on_step(step: StepReport) -> None:
        for callback in given:
            callback(step)

    return on_step


def _short(loss: float) -> float:
    """Round to five significant digits, as many as a plotted curve shows."""
    return float(f"{loss:.5g}")
