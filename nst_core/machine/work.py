"""The cost of a pastiche, in evaluations of a million pixels, estimated from sizes and options alone. Needs no torch.

One evaluation is one forward and backward pass through VGG. The exact passes (targets, the first losses, the losses of
the saved file: fp32, forward only) are counted in the same unit. How long one unit takes is learnt from a machine's
past runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from nst_core.geometry.levels import level_count, steps_at, usable_levels
from nst_core.machine.footprint import DeviceAndPrecision, Extra, extra_of
from nst_core.machine.memory import plan_memory
from nst_core.options import StylizeOptions

EXACT_PASS = {"bf16": 2.0, "fp32": 1.0}
"""Cost of one image's fp32 forward pass, in evaluations, by the precision of the optimisation. Measured on two
processors."""

EXACT_PASSES = 2
"""Exact passes at full size: the content target, and the losses of the file."""

TILED_COST = 1.5
"""Cost of an evaluation in tiles over one in one piece: it has a second forward pass."""

USUAL_HALO_PX = 80
"""Width of the halo around each tile for the default layers."""


@dataclass(frozen=True)
class Between:
    """Bounds of an unknown number of evaluations."""

    at_least: int
    at_most: int


SETTLES = {"draft": Between(40, 40), "standard": Between(100, 220), "best": Between(240, 480)}
"""Evaluations after which pairs of the recipe `relative` stopped by themselves, by quality; see the benchmark
`quality`."""


@dataclass(frozen=True)
class Evaluations:
    """The expected number of evaluations of a pastiche.

    Attributes:
        full: evaluations at full size.
        coarse: evaluations at each coarse level, the coarsest first.
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
    """Return the expected number of evaluations of a pastiche.

    Args:
        width: of the pastiche, in pixels.
        height: of the pastiche, in pixels.
        options: resolved options.
        settles: bounds of the evaluations after which such pairs stopped by themselves; None means `SETTLES`.
        from_picture: see `nst_core.geometry.levels.level_count`.
    """
    wanted = level_count(width, height, options.levels, from_picture=from_picture)
    number = usable_levels(wanted, min(width, height), options)  # a shorter style image may leave fewer
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
    backbone: DeviceAndPrecision,
    free: int | None = None,
) -> float:
    """Return the work of a pastiche, in evaluations of a million pixels, without encoding its style at full size.

    Args:
        width: of the pastiche, in pixels.
        height: of the pastiche, in pixels.
        options: resolved options.
        full: evaluations at full size.
        coarse: evaluations at each coarse level, the coarsest first.
        backbone: the device and the precision.
        free: bytes of free memory, which decide on tiling; None queries the device.
    """
    exact, extra = EXACT_PASS[backbone.precision], extra_of(options, 0, protects=False)
    # The distances that are comparable over all recipes take two more passes, except with the default recipe, whose
    # losses they are.
    passes = EXACT_PASSES + (1 if coarse else 0) + (0 if options.recipe == "relative" else 2)
    pixel_evaluations = partial(_pixel_evaluations, backbone=backbone, free=free, extra=extra)
    work = pixel_evaluations(width, height, full) + exact * passes * width * height
    for level, evaluations in zip(range(len(coarse), 0, -1), coarse, strict=True):
        wide, high = width >> level, height >> level
        work += pixel_evaluations(wide, high, evaluations) + exact * 2 * wide * high
    return work / 1e6


def style_work(width: int, height: int, backbone: DeviceAndPrecision) -> float:
    """Return the work of encoding a style at full size, done once for all pairs that share it."""
    return EXACT_PASS[backbone.precision] * width * height / 1e6


def _pixel_evaluations(
    width: int, height: int, evaluations: float, *, backbone: DeviceAndPrecision, free: int | None, extra: Extra
) -> float:
    """Return evaluations times pixels, including what tiles compute twice."""
    tile = plan_memory(width, height, 1, backbone, free, extra).tile_px
    if tile is None:
        return evaluations * width * height
    halos = [2 * USUAL_HALO_PX * (-(-side // tile) - 1) / side for side in (width, height)]
    return evaluations * width * height * TILED_COST * (1 + halos[0]) * (1 + halos[1])
