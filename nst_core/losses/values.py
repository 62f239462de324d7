"""Losses as plain numbers. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Distances:
    """How far a finished picture is from its content and style: the terms of `relative` at its own layers.

    0 is a match. They mean the same whatever recipe a picture was made with.
    """

    content: float
    style: float


@dataclass(frozen=True)
class LossValues:
    """The losses of one pastiche: the weighted total and the unweighted parts."""

    total: float
    content: float
    style: float
    tv: float
