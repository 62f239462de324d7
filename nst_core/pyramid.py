"""Coarse to fine: pastiches are first optimised small, where strokes are broad and an evaluation is cheap.

VGG's features see some 200 px across at most. At 512 px and up, an optimisation at full size alone paints small
patterns into an otherwise unchanged photograph; half the size first gives the large strokes (Gatys et al., 2017,
1611.07865, section 6). What a coarse level changed is added to the next finer content image, so that its detail stays:

    start_fine = initial_fine + enlarged(pastiche_coarse - initial_coarse)
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from nst_core.backbones.backbone import Backbone
from nst_core.geometry.levels import steps_at
from nst_core.machine.runtime import make_room
from nst_core.optimize import OnStep, Outcome, optimize
from nst_core.options import StylizeOptions
from nst_core.scene.scene import Scene, as_batch, extra_beside
from nst_core.scene.shrink import shrink

COARSE_SHARE = 0.25
"""Of a time budget, for all coarse levels together."""


@dataclass(frozen=True)
class Refined:
    """What the coarse levels led to.

    Attributes:
        coarse_initial, coarse_pastiche: of the finest of them, shape (N, 3, H/2, W/2).
        evaluations: of each pair, the coarsest level first.
    """

    coarse_initial: Tensor
    coarse_pastiche: Tensor
    evaluations: tuple[tuple[int, ...], ...]

    def start(self, initial: Tensor) -> Tensor:
        """Where to start at full size, in [0, 1], of the shape of its initial pastiches (N, 3, H, W)."""
        return refine(initial, self.coarse_initial, self.coarse_pastiche)


def refine(initial: Tensor, coarse_initial: Tensor, coarse_pastiche: Tensor) -> Tensor:
    """Where to start at a finer level: its initial image and what the coarser level changed, shape (N, 3, H, W)."""
    change = coarse_pastiche - coarse_initial
    enlarged = functional.interpolate(change, size=initial.shape[2:], mode="bicubic", align_corners=False)
    return enlarged.add_(initial).clamp_(0.0, 1.0)


def refine_from_coarse(
    scene: Scene,
    initial: Tensor,
    backbone: Backbone,
    levels: int,
    on_step: OnStep | None = None,
    free: int | None = None,
) -> Refined:
    """Optimise a batch at every level but the finest, and carry the result to full size.

    Args:
        scene: of full size.
        initial: the pastiches to begin with, of the contents' shape.
        backbone: that evaluates the losses.
        levels: at least 2, full size counted.
        on_step: called after every evaluation of every pastiche, with its level.
        free: bytes of memory to plan with; None asks the device at every level.
    """
    coarser: tuple[Tensor, Tensor] | None = None
    evaluations: list[list[int]] = []
    for level in range(levels - 1, 0, -1):
        small, level_initial = scene.halved(level), shrink(initial, level)
        start = level_initial if coarser is None else refine(level_initial, *coarser)
        outcomes = _optimized(small, start, backbone, _coarse_options(small, levels), on_step, free)
        coarser = level_initial, as_batch([outcome.pastiche for outcome in outcomes])
        evaluations.append([outcome.evaluations for outcome in outcomes])
    assert coarser is not None, "there is a coarse level"
    return Refined(*coarser, tuple(zip(*evaluations, strict=True)))


def _optimized(
    scene: Scene,
    start: Tensor,
    backbone: Backbone,
    options: StylizeOptions,
    on_step: OnStep | None,
    free: int | None,
) -> list[Outcome]:
    pairs, _, height, width = start.shape
    extra = extra_beside(options, scene.regions, scene.protected)
    plan = make_room(width, height, pairs, backbone, free, extra)
    loss = scene.fast_loss(
        backbone.fast, scene.content_target(backbone.exact), scene.style_target(backbone.exact), plan
    )
    return optimize(
        start,
        loss,
        options,
        on_step,
        canvas=scene.canvas,
        level=scene.level,
        plan=plan,
    )


def _coarse_options(scene: Scene, levels: int) -> StylizeOptions:
    options, (height, width) = scene.options, scene.contents.shape[2:]
    seconds = None if options.max_seconds is None else options.max_seconds * COARSE_SHARE / (levels - 1)
    # The threshold is one for full size: losses of different sizes do not compare.
    steps = steps_at(width, height, options, scene.level)
    return options.model_copy(update={"steps": steps, "max_seconds": seconds, "loss_threshold": None})
