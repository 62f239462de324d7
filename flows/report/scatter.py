"""Two numbers of every pair of a run as points of a plane: what one costs of the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 4.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""

MOST_POINTS = 2000
"""A page with more is slow; of more, evenly chosen ones are shown."""


@dataclass(frozen=True)
class Axis:
    """One of the two numbers.

    Attributes:
        title: for people.
        low, high: of the values.
    """

    title: str
    low: float
    high: float
    is_logarithmic: bool

    def place(self, value: float) -> float:
        """Of a value between the ends, 0 to 1."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Point:
    """A pair: its line in the manifest, its id, its two values and where they are, 0 to 1 each."""

    row: int
    pair_id: str
    values: tuple[float, float]
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """All pairs of a run by two of their numbers."""

    across: Axis
    up: Axis
    points: tuple[Point, ...]


def scatter(titles: tuple[str, str], found: Sequence[tuple[int, str, float, float]]) -> Scatter | None:
    """The plane of some (row, id, across, up); None where there is nothing to see: values do not differ in both."""
    step = max(1, math.ceil(len(found) / MOST_POINTS))
    shown = found[::step]
    axes = [_axis(title, [one[place] for one in shown]) for title, place in zip(titles, (2, 3), strict=True)]  # type: ignore[misc]  # the last two are numbers
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
