"""Losses as plain numbers. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LossValues:
    """The losses of one pastiche: the weighted total and the unweighted parts."""

    total: float
    content: float
    style: float
    tv: float
