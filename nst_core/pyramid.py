"""Coarse to fine: pastiches are first optimised small, where strokes are broad and an evaluation is cheap.

VGG's features see some 200 px across at most. At 512 px and up, an optimisation at full size alone paints small
patterns into an otherwise unchanged photograph; half the size first gives the large strokes (Gatys et al., 2017,
1611.07865, section 6). What a coarse level changed is added to the next finer content image, so that its detail stays:

    start_fine = initial_fine + enlarged(pastiche_coarse - initial_coarse)
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.backbone import Backbone
from nst_core.optimize import OnStep, optimize
from nst_core.options import StylizeOptions
from nst_core.scene import Scene
from nst_core.shrink import shrink
from nst_core.sizes import smallest_side

COARSE_STEPS = 40
"""Steps at most at each coarse level: what matters there is laid down early."""

COARSE_SHARE = 0.25
"""Of a time budget, for all coarse levels together."""

COARSEST_PX = 256
"""Long edge below which no level is made."""

MOST_LEVELS = 4


@dataclass(frozen=True)
class Refined:
    """What the coarse levels led to.

    Attributes:
        start: for full size, in [0, 1], shape (N, 3, H, W).
        evaluations: of each pair, the coarsest level first.
    """

    start: Tensor
    evaluations: tuple[tuple[int, ...], ...]


def level_count(width: int, height: int, wanted: int | None) -> int:
    """How many levels a pastiche of a size is optimised at: as many as wanted, or one for each doubling from 256 px.

    >>> [level_count(size, size, None) for size in (256, 511, 512, 1024, 3000)]
    [1, 1, 2, 3, 4]
    """
    if wanted is not None:
        return wanted
    longest, levels = max(width, height), 1
    while levels < MOST_LEVELS and longest >= 2 * COARSEST_PX:
        longest, levels = longest // 2, levels + 1
    return levels


def refine(initial: Tensor, coarse_initial: Tensor, coarse_pastiche: Tensor) -> Tensor:
    """Where to start at a finer level: its initial image and what the coarser level changed, shape (N, 3, H, W)."""
    change = coarse_pastiche - coarse_initial
    enlarged = functional.interpolate(change, size=initial.shape[2:], mode="bicubic", align_corners=False)
    return torch.clamp(initial + enlarged, 0.0, 1.0)


def usable_levels(wanted: int, shortest_px: int, options: StylizeOptions) -> int:
    """No more levels than leave every layer something to see of a shortest side."""
    needed = max(smallest_side(layer) for layer in (*options.content_layers, *options.style_layers))
    while wanted > 1 and shortest_px >> (wanted - 1) < needed:
        wanted -= 1
    return wanted


def refine_from_coarse(
    scene: Scene, initial: Tensor, backbone: Backbone, levels: int, on_step: OnStep | None = None
) -> Refined:
    """Optimise a batch at every level but the finest, and carry the result to full size.

    Args:
        scene: of full size.
        initial: the pastiches to begin with, of the contents' shape.
        backbone: that evaluates the losses.
        levels: at least 2, full size counted.
        on_step: called after every evaluation of every pastiche, with its level.
    """
    options = _coarse_options(scene.options, levels)
    coarser: tuple[Tensor, Tensor] | None = None
    evaluations: list[list[int]] = []
    for level in range(levels - 1, 0, -1):
        small, level_initial = scene.halved(level), shrink(initial, level)
        start = level_initial if coarser is None else refine(level_initial, *coarser)
        targets = small.content_target(backbone.exact), small.style_target(backbone.exact)
        loss = small.loss(backbone.fast, *targets, options)
        outcomes = optimize(start, loss, options, on_step, canvas=small.canvas, level=level)
        coarser = level_initial, torch.cat([outcome.pastiche for outcome in outcomes])
        evaluations.append([outcome.evaluations for outcome in outcomes])
    assert coarser is not None, "there is a coarse level"
    return Refined(refine(initial, *coarser), tuple(zip(*evaluations, strict=True)))


def _coarse_options(options: StylizeOptions, levels: int) -> StylizeOptions:
    assert options.steps is not None, "options must be resolved"
    seconds = None if options.max_seconds is None else options.max_seconds * COARSE_SHARE / (levels - 1)
    # The threshold is one for full size: losses of different sizes do not compare.
    return options.model_copy(
        update={"steps": min(options.steps, COARSE_STEPS), "max_seconds": seconds, "loss_threshold": None}
    )
