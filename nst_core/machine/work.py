"""How much work a pastiche is, in evaluations of a million pixels; from sizes and options alone. No torch.

One evaluation is one pass through VGG forward and back. What is computed exactly (targets, the first losses, those of
the file: in fp32, forward only) is counted in the same unit. How long the unit takes is learnt from a machine's runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from nst_core.geometry.levels import level_count, steps_at, usable_levels
from nst_core.machine.footprint import Computing, Extra, extra_of
from nst_core.machine.memory import plan_memory
from nst_core.options import StylizeOptions

EXACT_PASS = {"bf16": 2.0, "fp32": 1.0}
"""By the precision of the optimisation: what one picture forward in fp32 takes, in evaluations. Measured on two
processors."""

EXACT_PASSES = 2
"""At full size: the content's target, and the losses of the file."""

IN_TILES = 1.5
"""Evaluations in tiles go forward twice."""

HALO_PX = 80
"""Around each tile, of the default layers."""


@dataclass(frozen=True)
class Between:
    """A number of evaluations that is not known, but within bounds."""

    at_least: int
    at_most: int


SETTLES = {"draft": Between(40, 40), "standard": Between(100, 220), "best": Between(240, 480)}
"""Evaluations after which pairs of the recipe `relative` stopped by themselves; see the benchmark `quality`."""


@dataclass(frozen=True)
class Evaluations:
    """How many evaluations a pastiche takes.

    Attributes:
        full: at full size.
        coarse: at the coarse levels, the coarsest first.
    """

    full: Between
    coarse: tuple[int, ...]


def expected_evaluations(
    width: int,
    height: int,
    options: StylizeOptions,
    settles: Between | None = None,
    *,
    from_picture: bool = False,
) -> Evaluations:
    """How many evaluations a pastiche of a size can be expected to take.

    Args:
        width: in pixels.
        height: in pixels.
        options: resolved.
        settles: evaluations after which such pairs stopped by themselves; None is `SETTLES`.
        from_picture: see `nst_core.geometry.levels.level_count`.
    """
    wanted = level_count(width, height, options.levels, from_picture=from_picture)
    number = usable_levels(wanted, min(width, height), options)  # a style that is shorter may leave fewer
    most = steps_at(width, height, options) + 1
    stops = settles or SETTLES[options.quality]
    full = (
        Between(min(most, stops.at_least), min(most, stops.at_most))
        if options.plateau_tolerance
        else Between(most, most)
    )
    if options.loss_threshold is not None:
        full = Between(1, full.at_most)
    coarse = tuple(steps_at(width >> level, height >> level, options, level) + 1 for level in range(number - 1, 0, -1))
    return Evaluations(full, coarse)


def work_of(
    width: int,
    height: int,
    options: StylizeOptions,
    full: float,
    coarse: Sequence[int],
    backbone: Computing,
    free: int | None = None,
) -> float:
    """The work of a pastiche, in evaluations of a million pixels; that of its style at full size left aside.

    Args:
        width: in pixels.
        height: in pixels.
        options: resolved.
        full: evaluations at full size.
        coarse: evaluations at the coarse levels, the coarsest first.
        backbone: where, and in which precision.
        free: bytes of memory, by which tiles are chosen; None asks the device.
    """
    exact, extra = EXACT_PASS[backbone.precision], extra_of(options, 0, protects=False)
    # Distances by the one measure for all recipes: those of the default recipe are known, others take two passes more.
    passes = EXACT_PASSES + (1 if coarse else 0) + (0 if options.recipe == "relative" else 2)
    evaluated = partial(_evaluated, backbone=backbone, free=free, extra=extra)
    work = evaluated(width, height, full) + exact * passes * width * height
    for level, evaluations in zip(range(len(coarse), 0, -1), coarse, strict=True):
        wide, high = width >> level, height >> level
        work += evaluated(wide, high, evaluations) + exact * 2 * wide * high
    return work / 1e6


def style_work(width: int, height: int, backbone: Computing) -> float:
    """The work of encoding a style at full size, once for all pairs that share it."""
    return EXACT_PASS[backbone.precision] * width * height / 1e6


def _evaluated(
    width: int, height: int, evaluations: float, *, backbone: Computing, free: int | None, extra: Extra
) -> float:
    tile = plan_memory(width, height, 1, backbone, free, extra).tile_px
    if tile is None:
        return evaluations * width * height
    halos = [2 * HALO_PX * (-(-side // tile) - 1) / side for side in (width, height)]
    return evaluations * width * height * IN_TILES * (1 + halos[0]) * (1 + halos[1])
