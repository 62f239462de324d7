"""Count the losses of a run into the bins of a small bar chart."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDE = 30.0
"""The ratio of the largest to the smallest value above which bins are logarithmic."""
MOST_BINS = 24


@dataclass(frozen=True)
class Bin:
    """The number of values from `low` up to but without `high`; the last bin includes `high`."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """The distribution of a number over the pairs of a run."""

    name: str
    title: str
    bins: tuple[Bin, ...]
    median: float
    is_logarithmic: bool

    @property
    def tallest(self) -> int:
        """The count of the fullest bin."""
        return max(values.count for values in self.bins)


def histogram(name: str, title: str, values: Sequence[float]) -> Histogram | None:
    """Return the histogram of finite values; None if there are fewer than two different ones.

    >>> [(values.low, values.count) for values in histogram("steps", "Steps", [1.0, 2.0, 2.0, 5.0]).bins]
    [(1.0, 1), (2.0, 2), (3.0, 0), (4.0, 1)]
    """
    if len(set(values)) < 2:
        return None
    least, most = min(values), max(values)
    is_logarithmic = least > 0.0 and most / least > WIDE
    number = min(MOST_BINS, max(4, math.ceil(math.sqrt(len(values)) * 1.5)))
    try:
        counts, inner = np.histogram(np.log(values) if is_logarithmic else values, number)
    except ValueError:  # values so close to each other that bin edges would be the same float
        return None
    edges = [least, *(np.exp(inner) if is_logarithmic else inner).tolist()[1:-1], most]
    bins = tuple(map(Bin, edges, edges[1:], counts.tolist()))
    return Histogram(name, title, bins, statistics.median(values), is_logarithmic)
