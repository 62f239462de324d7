"""Losses as plain numbers, without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Distances:
    """How far a finished image is from its content and style: the terms of `relative` at its default layers.

    0 is a perfect match. The values are comparable across all recipes.
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
