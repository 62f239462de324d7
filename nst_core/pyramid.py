"""Coarse to fine: pastiches are first optimised at small sizes, where strokes are broad and an evaluation is cheap.

VGG's receptive fields span some 200 px at most. At 512 px and up, an optimisation at full size only paints small
patterns into an otherwise unchanged photograph; optimising at half the size first gives the large strokes (Gatys et
al., 2017, 1611.07865, section 6). The change made at a coarse level is added to the next finer content image, whose
detail is thereby preserved:

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
from nst_core.scene.scene import Scene, as_batch, extra_of_pairs
from nst_core.scene.shrink import shrink

COARSE_SHARE = 0.25
"""Share of the time budget that all coarse levels together may use."""


@dataclass(frozen=True)
class Refined:
    """The result of the coarse levels.

    Attributes:
        coarse_initial, coarse_pastiche: initial and optimised pastiches of the finest coarse level, shape (N, 3, H/2,
            W/2).
        evaluations: the number of evaluations per pair and level, the coarsest level first.
    """

    coarse_initial: Tensor
    coarse_pastiche: Tensor
    evaluations: tuple[tuple[int, ...], ...]

    def start(self, initial: Tensor) -> Tensor:
        """Return the starting pastiches for full size, in [0, 1], given the initial ones there, shape (N, 3, H, W)."""
        return refine(initial, self.coarse_initial, self.coarse_pastiche)


def refine(initial: Tensor, coarse_initial: Tensor, coarse_pastiche: Tensor) -> Tensor:
    """Add the coarser level's change to a finer level's initial image, shape (N, 3, H, W)."""
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
        scene: the full-size scene.
        initial: the initial pastiches, of the contents' shape.
        backbone: the network that evaluates the losses.
        levels: the number of levels, at least 2, full size included.
        on_step: called after every evaluation of every pastiche, with its level.
        free: bytes of memory to plan with; None queries the device at every level.
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
    extra = extra_of_pairs(options, scene.regions, scene.protected)
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
    # The loss threshold applies to full size only: losses of different sizes cannot be compared.
    steps = steps_at(width, height, options, scene.level)
    return options.model_copy(update={"steps": steps, "max_seconds": seconds, "loss_threshold": None})
