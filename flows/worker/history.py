"""The loss history of a pair: a few dozen of its evaluations, evenly spread, however many there were.

Every evaluation is looked at, and costs next to nothing, as its losses are known anyway. When there are too many
samples, every other one is let go, and from then on half as many are taken.
"""

import math
from dataclasses import dataclass, field

from flows.records.attempts import LossSample
from nst_core.optimize import OnStep, StepReport

MOST = 32
"""Samples of a pair; the first and the last evaluation of each size are among them, beyond this number."""


@dataclass
class _Level:
    """The samples of one pair at one size."""

    stride: int = 1
    seen: int = 0
    samples: list[LossSample] = field(default_factory=list)
    last: LossSample | None = None

    def add(self, sample: LossSample, most: int) -> None:
        if self.seen % self.stride == 0:
            self.samples.append(sample)
        self.seen += 1
        self.last = sample
        if len(self.samples) > most:
            self.samples = self.samples[::2]
            self.stride *= 2

    def all(self) -> list[LossSample]:
        has_last = self.last is None or self.samples[-1] == self.last
        return self.samples if has_last else [*self.samples, self.last]  # type: ignore[list-item]  # it is not None


class Histories:
    """The histories of the pairs of one chunk, fed by the engine's reports."""

    def __init__(self, pairs: int) -> None:
        self._levels: list[dict[int, _Level]] = [{} for _ in range(pairs)]

    def __call__(self, step: StepReport) -> None:
        """Take one evaluation of one pair down."""
        losses = step.losses
        if not math.isfinite(losses.total):  # JSON has no word for it, and a curve no place
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
        """A pair's samples, coarsest size first, each in order."""
        levels = self._levels[pair]
        return tuple(sample for level in sorted(levels, reverse=True) for sample in levels[level].all())


def both(one: OnStep | None, other: OnStep | None) -> OnStep:
    """A listener that tells two, where there are two."""
    listeners = [listener for listener in (one, other) if listener is not None]

    def on_step(step: StepReport) -> None:
        for listener in listeners:
            listener(step)

    return on_step


def _short(loss: float) -> float:
    """Five digits, as many as a curve shows."""
    return float(f"{loss:.5g}")
