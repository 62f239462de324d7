"""Place two numbers of every pair of a run as points of a plane, to show the trade-off between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 4.0
"""The ratio of the largest to the smallest value above which an axis is logarithmic."""

MOST_POINTS = 2000
"""The most points that a page shows, as more make it slow; of more, an evenly spaced subset is shown."""


@dataclass(frozen=True)
class Axis:
    """The axis of one of the two numbers.

    Attributes:
        title: the title as displayed.
        low, high: the smallest and the largest value.
        is_logarithmic: whether the axis is logarithmic.
    """

    title: str
    low: float
    high: float
    is_logarithmic: bool

    def place(self, value: float) -> float:
        """Return the position of a value along the axis, from 0 to 1."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Point:
    """The point of a pair.

    Attributes:
        row: its line in the manifest.
        pair_id: its id.
        values: its two numbers.
        x, y: its position, each from 0 to 1.
    """

    row: int
    pair_id: str
    values: tuple[float, float]
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """The pairs of a run as points; `across` is the horizontal axis and `up` the vertical one."""

    across: Axis
    up: Axis
    points: tuple[Point, ...]


def scatter(titles: tuple[str, str], found: Sequence[tuple[int, str, float, float]]) -> Scatter | None:
    """Return the plot of (row, id, across, up) tuples; None unless there are different values on both axes."""
    step = max(1, math.ceil(len(found) / MOST_POINTS))
    shown = found[::step]
    axes = [_axis(title, [pair[place] for pair in shown]) for title, place in zip(titles, (2, 3), strict=True)]  # type: ignore[misc]  # the last two are numbers
    across, up = axes
    if across is None or up is None:
        return None
    points = tuple(Point(row, name, (x, y), across.place(x), up.place(y)) for row, name, x, y in shown)
    return Scatter(across, up, points)


def _axis(title: str, values: Sequence[float]) -> Axis | None:
    if len(set(values)) < 2:
        return None
    low, high = min(values), max(values)
    return Axis(title, low, high, low > 0.0 and high / low > WIDE)
