"""Stylize a batch of pairs of equal size."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.batch import initial_of, level_count_of, scene_of, shared_options
from nst_core.errors import DivergedError
from nst_core.geometry.levels import steps_at
from nst_core.geometry.tiles import EXACT_PIXELS
from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.targets import ContentTarget
from nst_core.losses.values import LossValues
from nst_core.machine.faults import within_memory
from nst_core.machine.memory import check_fits
from nst_core.machine.runtime import give_freed_back, keep_freed_memory, make_room
from nst_core.optimize import Confirm, OnStep, Outcome, optimize
from nst_core.options import StylizeOptions
from nst_core.pyramid import Refined, refine_from_coarse
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.scene import Scene, extra_of_pairs


def stylize(
    requests: Sequence[StylizeRequest], backbone: Backbone, on_step: OnStep | None = None, *, free: int | None = None
) -> list[StylizeResult | DivergedError]:
    """Stylize pairs that have equal size and equal options, except for the seed, as one batch.

    Args:
        requests: the pairs.
        backbone: the network, on its device.
        on_step: called after every evaluation of every pair.
        free: bytes of memory to plan with; None queries the device, 0 takes the smallest and slowest plan, unchecked.

    Returns:
        One entry per request, in order: its result, or an error if the loss did not stay finite.

    Raises:
        ShapeError: if the pairs differ in size, in the number of regions or levels, or in options other than the seed.
        OutOfMemory: if the device cannot hold the batch; raised before anything is computed if not even the smallest
            plan fits.
        OptionsError: if an image is too small for a layer.
    """
    if not requests:
        return []
    options = shared_options(requests)
    height, width = requests[0].content.shape[2:]
    what = f"{'a pair' if len(requests) == 1 else f'{len(requests)} pairs'} of {width} x {height} px"
    return within_memory(what, backbone.device, lambda: _stylize(requests, options, backbone, on_step, free))


def _stylize(
    requests: Sequence[StylizeRequest],
    options: StylizeOptions,
    backbone: Backbone,
    on_step: OnStep | None,
    free: int | None,
) -> list[StylizeResult | DivergedError]:
    began = time.monotonic()
    height, width = requests[0].content.shape[2:]
    extra = max(extra_of_pairs(options, one.regions, one.protected) for one in requests)
    if free != 0:
        check_fits(width, height, backbone, free, extra)
    for request in requests:
        request.check_ranges()
    plan = make_room(width, height, len(requests), backbone, free, extra)
    scene = scene_of(requests, backbone)
    initial = initial_of(requests, backbone)
    starts_as_contents = torch.equal(initial, scene.contents)
    if starts_as_contents:
        initial = scene.contents  # the same tensor, so that only one copy stays in memory
    exact, initial_losses = _exact_loss(scene, None if starts_as_contents else initial, backbone)

    started = time.monotonic()
    levels = level_count_of(requests[0])
    refined = None if levels == 1 else refine_from_coarse(scene, initial, backbone, levels, on_step, free)
    at_full_size = _at_full_size(options, width, height, time.monotonic() - started)
    coarse = refined.evaluations if refined else ((),) * len(requests)
    keep_freed_memory(keep=plan.keep_freed)  # the coarse levels changed this for their own plans
    give_freed_back(height * width)

    fast = scene.fast_loss(backbone.fast, exact.content, exact.style, plan)
    # For a poster an exact pass takes longer than an evaluation, and this comparison is never close.
    judge = exact if height * width <= EXACT_PIXELS else fast
    outcomes = optimize(
        # Passed without a local name, so that the loop can free it once it is encoded.
        _better(judge, scene, refined, initial, initial_losses.total) if refined else initial,
        fast,
        at_full_size,
        on_step,
        canvas=scene.canvas,
        confirm=_loss_of_saved(exact, scene),
        plan=plan,
    )
    seconds = time.monotonic() - began
    targets = [{name: of[pair : pair + 1] for name, of in exact.content.items()} for pair in range(len(requests))]
    return [
        _result(outcome, losses, before, target, seconds, at_full_size)
        for outcome, losses, before, target in zip(outcomes, initial_losses.values(), coarse, targets, strict=True)
    ]


def _loss_of_saved(exact: PerceptualLoss, scene: Scene) -> Confirm:
    """Return a function that computes the fp32 loss of a pastiche as saved: rounded to the file's bit depth."""
    white = 2.0**scene.options.bit_depth - 1

    @torch.no_grad()
    def loss_of_saved(pair: int, pastiche: Tensor) -> float:
        only = exact.keep(torch.tensor([pair], device=pastiche.device))
        picture = pastiche.mul(white).round().div(white)
        return only(scene.canvas.seen(picture)).values()[0].total

    return loss_of_saved


@torch.no_grad()
def _exact_loss(scene: Scene, initial: Tensor | None, backbone: Backbone) -> tuple[PerceptualLoss, LossTerms]:
    """Return the fp32 loss of a batch, and its value for the initial pastiches.

    `initial` None means that they equal the contents; their losses then need no further pass through the network.
    """
    style = scene.style_target(backbone.exact)
    if initial is not None:
        exact = scene.exact_loss(backbone.exact, scene.content_target(backbone.exact), style)
        return exact, exact(scene.canvas.shown(initial))
    content, own_style = scene.content_and_own_style(backbone.exact)
    exact = scene.exact_loss(backbone.exact, content, style)
    return exact, exact.of_contents(scene.canvas.targets, own_style)


@torch.no_grad()
def _better(judge: PerceptualLoss, scene: Scene, refined: Refined, initial: Tensor, initial_totals: Tensor) -> Tensor:
    """Return each pair's refined start, or its initial image unless the coarse levels lowered the loss at full size."""
    start = refined.start(initial)
    better = judge(scene.canvas.shown(start)).total <= initial_totals
    return torch.where(better.view(-1, 1, 1, 1), start, initial, out=start)


def _at_full_size(options: StylizeOptions, width: int, height: int, seconds: float) -> StylizeOptions:
    """Return the options with the steps for this size, and the time budget that is left after so many seconds."""
    left = None if options.max_seconds is None else max(1e-3, options.max_seconds - seconds)
    return options.model_copy(update={"steps": steps_at(width, height, options), "max_seconds": left})


def _result(
    outcome: Outcome,
    initial: LossValues,
    coarse: tuple[int, ...],
    content: ContentTarget,
    seconds: float,
    options: StylizeOptions,
) -> StylizeResult | DivergedError:
    if outcome.stop_reason == "diverged":
        rate = "" if options.learning_rate is None else f", learning rate {options.learning_rate:g}"
        return DivergedError(
            f"the loss was not finite after evaluation {outcome.evaluations} of {options.steps} "
            f"(recipe {options.recipe}, {options.optimizer}{rate}). Try lower weights"
            + ("" if options.optimizer == "lbfgs" else ", a lower learning rate or optimizer lbfgs")
        )
    return StylizeResult(
        pastiche=outcome.pastiche.cpu(),
        initial=initial,
        steps=outcome.steps,
        evaluations=outcome.evaluations,
        coarse_evaluations=coarse,
        stop_reason=outcome.stop_reason,
        seconds=seconds,
        content=content,
    )
