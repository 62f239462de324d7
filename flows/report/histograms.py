"""The losses of a run, counted into bins: what a small bar chart needs."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDE = 30.0
"""From this ratio of the largest to the smallest value on, bins grow by a factor instead of a step."""
MOST_BINS = 24


@dataclass(frozen=True)
class Bin:
    """Values from `low` up to `high`; the last bin has its upper end too."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """How often a number takes which values over a run."""

    name: str
    title: str
    bins: tuple[Bin, ...]
    median: float
    is_logarithmic: bool

    @property
    def tallest(self) -> int:
        """The count of the fullest bin."""
        return max(one.count for one in self.bins)


def histogram(name: str, title: str, values: Sequence[float]) -> Histogram | None:
    """The histogram of some finite values; None where there is nothing to see: fewer than two different ones.

    >>> [(one.low, one.count) for one in histogram("steps", "Steps", [1.0, 2.0, 2.0, 5.0]).bins]
    [(1.0, 1), (2.0, 2), (3.0, 0), (4.0, 1)]
    """
    if len(set(values)) < 2:
        return None
    least, most = min(values), max(values)
    is_logarithmic = least > 0.0 and most / least > WIDE
    number = min(MOST_BINS, max(4, math.ceil(math.sqrt(len(values)) * 1.5)))
    try:
        counts, inner = np.histogram(np.log(values) if is_logarithmic else values, number)
    except ValueError:  # so close to each other that floats cannot tell bins apart
        return None
    edges = [least, *(np.exp(inner) if is_logarithmic else inner).tolist()[1:-1], most]
    bins = tuple(map(Bin, edges, edges[1:], counts.tolist()))
    return Histogram(name, title, bins, statistics.median(values), is_logarithmic)
