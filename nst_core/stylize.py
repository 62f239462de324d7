"""Stylize a batch of pairs of equal size at once, and measure the losses of a finished picture."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import DivergedError, OutOfMemory, ShapeError
from nst_core.initial import initial_pastiche
from nst_core.losses.perceptual import (
    ContentTarget,
    LossTerms,
    PerceptualLoss,
    StyleTarget,
    encode_content,
    encode_style,
)
from nst_core.losses.values import LossValues
from nst_core.memory import plan_memory
from nst_core.optimize import OnStep, Outcome, StopReason, optimize
from nst_core.options import StylizeOptions
from nst_core.pyramid import Refined, level_count, refine_from_coarse, usable_levels
from nst_core.runtime import keep_freed_memory

Result = TypeVar("Result")

LARGE_PIXELS = 2_000_000
"""Of a batch; below this any plan fits, and giving memory back between two batches costs more than it tells."""


@dataclass(frozen=True)
class StyleImage:
    """A style image, shape (1, 3, H, W), in [0, 1], on the CPU, with its target: one encoding serves many pairs."""

    image: Tensor
    target: StyleTarget


@dataclass(frozen=True)
class StylizeRequest:
    """One pair: a content image, shape (1, 3, H, W), in [0, 1], a style, and resolved options."""

    content: Tensor
    style: StyleImage
    options: StylizeOptions


@dataclass(frozen=True)
class StylizeResult:
    """One pastiche.

    Attributes:
        pastiche: in [0, 1], shape (1, 3, H, W), on the CPU.
        initial: fp32 losses of the initial pastiche: the content image, the style image or noise.
        steps, evaluations, stop_reason: as in `Outcome`, at full size.
        coarse_evaluations: at the coarse levels, the coarsest first; empty where there was none.
        seconds: of the batch, coarse levels and targets included.
        content: the pair's content target, on the backbone's device, for `measure`.
    """

    pastiche: Tensor
    initial: LossValues
    steps: int
    evaluations: int
    coarse_evaluations: tuple[int, ...]
    stop_reason: StopReason
    seconds: float
    content: ContentTarget = field(repr=False, compare=False)


def prepare_style(backbone: Backbone, image: Tensor, options: StylizeOptions) -> StyleImage:
    """A style image, shape (1, 3, H, W), encoded in fp32 for every pair that uses it with these options."""
    what = f"a style image of {image.shape[3]} x {image.shape[2]} px"
    target = _within_memory(
        what, backbone.device, lambda: encode_style(backbone.exact, image.to(backbone.device), options)
    )
    return StyleImage(image, target)


def stylize(
    requests: Sequence[StylizeRequest], backbone: Backbone, on_step: OnStep | None = None, *, frugal: bool = False
) -> list[StylizeResult | DivergedError]:
    """Stylize pairs of equal size and options (but for the seed) at once.

    Args:
        requests: the pairs.
        backbone: the network, on its device.
        on_step: called after every evaluation of every pair.
        frugal: take the smallest memory plan there is, whatever seems to be free: slower.

    Returns:
        One result per request, in order; an error in its place where the loss did not stay finite.

    Raises:
        ShapeError: if the pairs differ in size, or in options other than the seed.
        OutOfMemory: if the device cannot hold the batch.
        OptionsError: if a picture is too small for a layer.
    """
    options = _shared_options(requests)
    height, width = requests[0].content.shape[2:]
    what = f"{len(requests)} pairs of {width} x {height} px"
    return _within_memory(what, backbone.device, lambda: _stylize(requests, options, backbone, on_step, frugal))


def measure(
    pixels: Tensor, request: StylizeRequest, backbone: Backbone, content: ContentTarget | None = None
) -> LossValues:
    """The fp32 losses of a finished picture, shape (1, 3, H, W), in [0, 1]: one picture, exact path.

    Args:
        pixels: of the picture, as its file holds them.
        request: what the picture was made for.
        backbone: the network.
        content: the request's content target, where `StylizeResult.content` has it already.

    Raises:
        ShapeError: if the picture's shape is not the content's.
    """
    if pixels.shape != request.content.shape:
        raise ShapeError(f"expected a picture of shape {tuple(request.content.shape)}, got {tuple(pixels.shape)}")
    what = f"a picture of {pixels.shape[3]} x {pixels.shape[2]} px"
    return _within_memory(what, backbone.device, lambda: _measure(pixels, request, backbone, content))


@torch.no_grad()
def _measure(pixels: Tensor, request: StylizeRequest, backbone: Backbone, content: ContentTarget | None) -> LossValues:
    if content is None:
        content = encode_content(backbone.exact, request.content.to(backbone.device), request.options)
    loss = PerceptualLoss(backbone.exact, content, request.style.target, request.options)
    return loss(pixels.to(backbone.device)).values()[0]


def _within_memory(what: str, device: str, work: Callable[[], Result]) -> Result:
    """What some work returns; the many ways to run out of memory become `OutOfMemory`."""
    try:
        return work()
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = str(error)
    except RuntimeError as error:
        # The CPU's allocator, cuBLAS and cuDNN raise plain RuntimeErrors.
        if not any(sign in str(error) for sign in ("can't allocate memory", "ALLOC_FAILED")):
            raise
        reason = str(error)
    # Outside of the except blocks: the caught exception holds the tensors of the failed call alive.
    first_line = reason.partition("\n")[0] or "out of memory"
    raise OutOfMemory(f"not enough memory on {device} for {what}: lower size_px ({first_line})")


def _shared_options(requests: Sequence[StylizeRequest]) -> StylizeOptions:
    first = requests[0]
    for request in requests[1:]:
        if request.content.shape != first.content.shape:
            raise ShapeError(
                f"a batch takes pairs of equal size, got {tuple(first.content.shape)} and "
                f"{tuple(request.content.shape)}"
            )
        if request.options.model_copy(update={"seed": first.options.seed}) != first.options:
            raise ShapeError("a batch takes pairs of equal options; only the seed may differ")
    return first.options


def _stylize(
    requests: Sequence[StylizeRequest],
    options: StylizeOptions,
    backbone: Backbone,
    on_step: OnStep | None,
    frugal: bool,  # noqa: FBT001  # private, and named where it is public
) -> list[StylizeResult | DivergedError]:
    began = time.monotonic()
    height, width = requests[0].content.shape[2:]
    if width * height * len(requests) >= LARGE_PIXELS:
        keep_freed_memory(keep=False)  # what the last batch left behind would count as taken
    plan = plan_memory(width, height, len(requests), backbone, free=0 if frugal else None)
    keep_freed_memory(keep=plan.keep_freed)
    contents = torch.cat([request.content for request in requests]).to(backbone.device)
    initial = torch.cat(
        [
            initial_pastiche(request.content.to(backbone.device), request.style.image, request.options)
            for request in requests
        ]
    )
    style = {layer: torch.cat([request.style.target[layer] for request in requests]) for layer in options.style_layers}
    exact, initial_losses = _exact_loss(contents, initial, style, options, backbone)

    started = time.monotonic()
    refined = _refined(requests, contents, initial, backbone, on_step)
    start = _better(exact, refined.start, initial, initial_losses.total) if refined else initial
    left = _with_time_left(options, time.monotonic() - started)
    loss = PerceptualLoss(backbone.fast.recomputing(recompute=plan.recompute), exact.content, style, options)

    white = 2.0**options.bit_depth - 1

    def saved_loss(pair: int, pastiche: Tensor) -> float:
        picture = pastiche.mul(white).round().div(white)
        with torch.no_grad():
            return exact.keep(torch.tensor([pair], device=pastiche.device))(picture).values()[0].total

    outcomes = optimize(start, loss, left, on_step, confirm=saved_loss, history=plan.history)
    coarse = refined.evaluations if refined else ((),) * len(requests)
    seconds = time.monotonic() - began
    targets = [{name: of[pair : pair + 1] for name, of in exact.content.items()} for pair in range(len(requests))]
    return [
        _result(outcome, losses, before, target, seconds, options)
        for outcome, losses, before, target in zip(outcomes, initial_losses.values(), coarse, targets, strict=True)
    ]


@torch.no_grad()
def _exact_loss(
    contents: Tensor, initial: Tensor, style: StyleTarget, options: StylizeOptions, backbone: Backbone
) -> tuple[PerceptualLoss, LossTerms]:
    """The fp32 loss of a batch, and what it is of the initial pastiches: those that are the contents take no pass."""
    if options.init != "content":
        exact = PerceptualLoss(backbone.exact, encode_content(backbone.exact, contents, options), style, options)
        return exact, exact(initial)
    features = backbone.exact(contents, (*options.content_layers, *options.style_layers), options.pooling)
    content = {layer: features[layer] for layer in options.content_layers}
    exact = PerceptualLoss(backbone.exact, content, style, options)
    return exact, exact.of_features(features, initial)


def _refined(
    requests: Sequence[StylizeRequest],
    contents: Tensor,
    initial: Tensor,
    backbone: Backbone,
    on_step: OnStep | None,
) -> Refined | None:
    """Where coarse levels lead; None where full size is the only level."""
    options = requests[0].options
    styles = [request.style.image for request in requests]
    height, width = contents.shape[2:]
    shortest = min(height, width, *(side for style in styles for side in style.shape[2:]))
    levels = usable_levels(level_count(width, height, options.levels), shortest, options)
    if levels == 1:
        return None
    return refine_from_coarse(contents, initial, styles, options, backbone, levels, on_step)


@torch.no_grad()
def _better(exact: PerceptualLoss, start: Tensor, initial: Tensor, initial_totals: Tensor) -> Tensor:
    """Each pair's start, or its initial image where the coarse levels led to nothing better at full size."""
    better = exact(start).total <= initial_totals
    return torch.where(better.view(-1, 1, 1, 1), start, initial)


def _with_time_left(options: StylizeOptions, seconds: float) -> StylizeOptions:
    if options.max_seconds is None:
        return options
    return options.model_copy(update={"max_seconds": max(1e-3, options.max_seconds - seconds)})


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
            f"the loss was not finite after {outcome.evaluations} evaluations of {options.steps} "
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
