"""The spread of repeated timings."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity."""

    median: float
    min: float
    max: float
    values: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread:
    """The median, the extremes and the values of at least one measurement."""
    return Spread(statistics.median(values), min(values), max(values), tuple(values))
