"""Stylize a batch of pairs of equal size at once, and measure the losses of a finished picture."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import DivergedError, OptionsError, OutOfMemory, ShapeError
from nst_core.geometry.levels import level_count, steps_at, usable_levels
from nst_core.geometry.sizes import smallest_side
from nst_core.geometry.tiles import EXACT_PIXELS
from nst_core.losses.perceptual import ContentTarget, LossTerms, PerceptualLoss, StyleTarget
from nst_core.losses.regions import Regions, count, together
from nst_core.losses.values import Distances, LossValues
from nst_core.machine.faults import is_out_of_memory
from nst_core.machine.memory import check_fits
from nst_core.machine.runtime import give_freed_back, keep_freed_memory, make_room
from nst_core.optimize import Confirm, OnStep, Outcome, StopReason, optimize
from nst_core.options import StylizeOptions
from nst_core.pyramid import Refined, refine_from_coarse
from nst_core.scene.initial import initial_pastiche
from nst_core.scene.pixels import check_image, check_range
from nst_core.scene.recolour import recoloured
from nst_core.scene.scene import Scene, as_batch, planes_beside
from nst_core.scene.styles import StyleImage, StylePicture, style_target

Result = TypeVar("Result")


@dataclass(frozen=True)
class StylizeRequest:
    """One pair.

    Attributes:
        content: shape (1, 3, H, W), in [0, 1].
        style: with as many regions as `regions`.
        options: resolved.
        regions: where in the content each region is, maps of its size; None is everywhere.
        protected: shape (1, 1, H, W), 1 where the content stays to the last bit; None is nowhere.
        initial: what to start from in place of `options.init`, of the content's shape.
    """

    content: Tensor
    style: StyleImage
    options: StylizeOptions
    regions: Regions | None = None
    protected: Tensor | None = None
    initial: Tensor | None = None

    def __post_init__(self) -> None:
        if self.options.style_layer_weights is None:
            raise OptionsError("expected resolved options: StylizeOptions(...).resolved()")
        check_image(self.content, "content")
        _check_beside(self.content, "protected", self.protected, 1)
        _check_beside(self.content, "initial", self.initial, 3)
        if self.regions is not None and self.regions.maps.shape[2:] != self.content.shape[2:]:
            raise ShapeError(
                f"regions: expected maps of the content's size {tuple(self.content.shape[2:])}, got "
                f"{tuple(self.regions.maps.shape[2:])}"
            )
        if count(self.regions) != self.style.regions:
            raise ShapeError(f"the content has {count(self.regions)} regions, its style {self.style.regions}")


def _check_beside(content: Tensor, what: str, image: Tensor | None, channels: int) -> None:
    """Refuse what is no image of the content's size."""
    if image is None:
        return
    check_image(image, what, channels)
    if image.shape[2:] != content.shape[2:]:
        raise ShapeError(
            f"{what}: expected the content's size {tuple(content.shape[2:])}, got {tuple(image.shape[2:])}"
        )


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


def prepare_style(
    backbone: Backbone,
    image: Tensor | Sequence[StylePicture],
    options: StylizeOptions,
    content: Tensor | None = None,
) -> StyleImage:
    """A style, encoded in fp32 for every pair that uses it with these options.

    Args:
        backbone: that encodes.
        image: shape (1, 3, H, W), in [0, 1]; or the pictures of a blend, or one with regions.
        options: resolved.
        content: pixels, shape (1, 3, H, W), whose colours the style is to have; needed where `options.colors` is not
            `style`.

    Raises:
        ShapeError: if one of them is no image.
        OptionsError: if there is no picture, or no content whose colours it could have.
        OutOfMemory: if the device has too little memory.
    """
    given = [StylePicture(image)] if isinstance(image, Tensor) else image
    if not given:
        raise OptionsError("a style has a picture, or several of a blend; got none")
    height, width = given[0].image.shape[2:]
    what = f"a style image of {width} x {height} px"
    return _within_memory(what, backbone.device, lambda: _encoded(given, content, options, backbone))


def _encoded(
    given: Sequence[StylePicture], content: Tensor | None, options: StylizeOptions, backbone: Backbone
) -> StyleImage:
    for one in given:
        check_range(one.image, "style")
    pictures = tuple(_in_colours(one, content, options) for one in given)
    return StyleImage(pictures, style_target(backbone.exact, pictures, options, backbone.device))


def _in_colours(picture: StylePicture, content: Tensor | None, options: StylizeOptions) -> StylePicture:
    if options.colors == "style":
        return picture
    if content is None:
        raise OptionsError(
            f"colors {options.colors}: expected the pixels of a content, whose colours the style is to have"
        )
    check_image(content, "content")
    check_range(content, "content")
    return StylePicture(recoloured(picture.image, content, options), picture.share, picture.regions)


def stylize(
    requests: Sequence[StylizeRequest], backbone: Backbone, on_step: OnStep | None = None, *, free: int | None = None
) -> list[StylizeResult | DivergedError]:
    """Stylize pairs of equal size and options (but for the seed) at once.

    Args:
        requests: the pairs.
        backbone: the network, on its device.
        on_step: called after every evaluation of every pair.
        free: bytes of memory to plan with; None asks the device, 0 takes the smallest plan there is, which is slower.

    Returns:
        One result per request, in order; an error in its place where the loss did not stay finite.

    Raises:
        ShapeError: if the pairs differ in size, in how many regions or levels they have, or in options other than the
            seed.
        OutOfMemory: if the device cannot hold the batch: before anything is computed, where not even the smallest plan
            has room.
        OptionsError: if a picture is too small for a layer.
    """
    if not requests:
        return []
    options = _shared_options(requests)
    height, width = requests[0].content.shape[2:]
    what = f"{len(requests)} pairs of {width} x {height} px"
    return _within_memory(what, backbone.device, lambda: _stylize(requests, options, backbone, on_step, free))


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
    check_image(pixels, "picture")
    what = f"a picture of {pixels.shape[3]} x {pixels.shape[2]} px"
    return _within_memory(what, backbone.device, lambda: _measure(pixels, request, backbone, content))


def distances(pixels: Tensor, request: StylizeRequest, backbone: Backbone, known: LossValues) -> Distances | None:
    """How far a finished picture is from its content and style, in a measure that is the same for all recipes.

    Args:
        pixels: of the picture, as its file holds them.
        request: what the picture was made for.
        backbone: the network.
        known: what `measure` gave for it, which holds the distances already where the recipe and layers are those of
            the measure.

    Returns:
        The content and style losses of the recipe `relative` at its own layers, unweighted; None where a picture is
        too small for those layers.
    """
    ruler = StylizeOptions(colors=request.options.colors).resolved()
    same = ("recipe", "content_layers", "style_layers", "style_layer_weights", "pooling")
    if all(getattr(ruler, name) == getattr(request.options, name) for name in same):
        return Distances(known.content, known.style)
    shortest = min(*pixels.shape[2:], request.style.shortest_px)
    if shortest < max(map(smallest_side, (*ruler.content_layers, *ruler.style_layers))):
        return None
    # A style that is kept for others keeps its pictures, of which those of a poster take gigabytes.
    is_large = pixels.shape[2] * pixels.shape[3] > EXACT_PIXELS
    target_of = _ruler_target.__wrapped__ if is_large else _ruler_target
    target = _within_memory("a style", backbone.device, lambda: target_of(request.style, backbone, ruler))
    measured = measure(
        pixels, dataclasses.replace(request, options=ruler, style=StyleImage(request.style.pictures, target)), backbone
    )
    return Distances(measured.content, measured.style)


@functools.lru_cache(maxsize=4)
def _ruler_target(style: StyleImage, backbone: Backbone, ruler: StylizeOptions) -> StyleTarget:
    """Kept for the pairs that share a style."""
    return style_target(backbone.exact, style.pictures, ruler, backbone.device)


@torch.no_grad()
def _measure(pixels: Tensor, request: StylizeRequest, backbone: Backbone, content: ContentTarget | None) -> LossValues:
    give_freed_back(pixels.shape[2] * pixels.shape[3])
    check_range(pixels, "picture")
    scene = _scene([request], backbone)
    target = scene.content_target(backbone.exact) if content is None else content
    loss = scene.exact_loss(backbone.exact, target, request.style.target)
    return loss(scene.canvas.seen(pixels.to(backbone.device))).values()[0]


def _within_memory(what: str, device: str, work: Callable[[], Result]) -> Result:
    """What some work returns; the many ways to run out of memory become `OutOfMemory`."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    # Outside of the except block: the caught exception holds the tensors of the failed call alive.
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
        if count(request.regions) != count(first.regions):
            raise ShapeError("a batch takes pairs of equally many regions")
        if request.options.model_copy(update={"seed": first.options.seed}).digest() != first.options.digest():
            raise ShapeError("a batch takes pairs of equal options; only the seed may differ")
        if _levels(request) != _levels(first):
            raise ShapeError("a batch takes pairs of equally many levels: with a picture to start from, or all without")
    return first.options


def _stylize(
    requests: Sequence[StylizeRequest],
    options: StylizeOptions,
    backbone: Backbone,
    on_step: OnStep | None,
    free: int | None,
) -> list[StylizeResult | DivergedError]:
    began = time.monotonic()
    height, width = requests[0].content.shape[2:]
    planes = max(planes_beside(options, one.regions, one.protected) for one in requests)
    if free != 0:
        check_fits(width, height, backbone, free, planes)
    for request in requests:
        check_range(request.content, "content")
        if request.initial is not None:
            check_range(request.initial, "initial")
        if request.protected is not None:
            check_range(request.protected, "protected")
    plan = make_room(width, height, len(requests), backbone, free, planes)
    scene = _scene(requests, backbone)
    initial = as_batch([_initial(request).to(backbone.device) for request in requests])
    starts_as_contents = torch.equal(initial, scene.contents)
    if starts_as_contents:
        initial = scene.contents  # one picture less to keep
    exact, initial_losses = _exact_loss(scene, None if starts_as_contents else initial, backbone)

    started = time.monotonic()
    refined = _refined(requests, scene, initial, backbone, on_step, free)
    at_full_size = _at_full_size(options, width, height, time.monotonic() - started)
    coarse = refined.evaluations if refined else ((),) * len(requests)
    keep_freed_memory(keep=plan.keep_freed)  # the coarse levels had plans of their own
    give_freed_back(height * width)

    fast = scene.fast_loss(backbone.fast, exact.content, exact.style, plan)
    # Of a poster an exact pass takes longer than an evaluation, and what it would find out is no close call.
    judge = exact if height * width <= EXACT_PIXELS else fast
    outcomes = optimize(
        # No name for it here: the loop lets go of it once it is encoded.
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
    """The fp32 loss of what is saved of a pastiche, which is rounded to the bits of its file."""
    white = 2.0**scene.options.bit_depth - 1

    @torch.no_grad()
    def loss_of_saved(pair: int, pastiche: Tensor) -> float:
        only = exact.keep(torch.tensor([pair], device=pastiche.device))
        picture = pastiche.mul(white).round().div(white)
        return only(scene.canvas.seen(picture)).values()[0].total

    return loss_of_saved


def _levels(request: StylizeRequest) -> int:
    """How many sizes a pair is optimised at, full size counted."""
    options, (height, width) = request.options, request.content.shape[2:]
    wanted = level_count(width, height, options.levels, from_picture=request.initial is not None)
    return usable_levels(wanted, min(height, width, request.style.shortest_px), options)


def _scene(requests: Sequence[StylizeRequest], backbone: Backbone) -> Scene:
    device = backbone.device
    contents = as_batch([request.content.detach() for request in requests]).to(device)
    protected = None
    if any(request.protected is not None for request in requests):
        # Where nothing is, that is a mask too.
        nowhere = torch.zeros_like(contents[:1, :1])
        protected = torch.cat([nowhere if one.protected is None else one.protected.to(device) for one in requests])
    regions = together([request.regions for request in requests], *contents.shape[2:])
    regions = regions and Regions(regions.maps.to(device))
    return Scene(contents, tuple(request.style for request in requests), requests[0].options, protected, regions)


def _initial(request: StylizeRequest) -> Tensor:
    if request.initial is not None:
        return request.initial.detach()
    style = request.style.pictures[0].image.detach()
    return initial_pastiche(request.content.detach(), style, request.options)


@torch.no_grad()
def _exact_loss(scene: Scene, initial: Tensor | None, backbone: Backbone) -> tuple[PerceptualLoss, LossTerms]:
    """The fp32 loss of a batch, and what it is of the initial pastiches; None are the contents, which take no pass."""
    style = scene.style_target(backbone.exact)
    if initial is not None:
        exact = scene.exact_loss(backbone.exact, scene.content_target(backbone.exact), style)
        return exact, exact(scene.canvas.shown(initial))
    content, own_style = scene.content_and_own_style(backbone.exact)
    exact = scene.exact_loss(backbone.exact, content, style)
    return exact, exact.of_contents(scene.canvas.targets, own_style)


def _refined(
    requests: Sequence[StylizeRequest],
    scene: Scene,
    initial: Tensor,
    backbone: Backbone,
    on_step: OnStep | None,
    free: int | None,
) -> Refined | None:
    """Where coarse levels lead; None where full size is the only level."""
    levels = _levels(requests[0])
    return None if levels == 1 else refine_from_coarse(scene, initial, backbone, levels, on_step, free)


@torch.no_grad()
def _better(judge: PerceptualLoss, scene: Scene, refined: Refined, initial: Tensor, initial_totals: Tensor) -> Tensor:
    """Each pair's start, or its initial image where the coarse levels led to nothing better at full size."""
    start = refined.start(initial)
    better = judge(scene.canvas.shown(start)).total <= initial_totals
    return torch.where(better.view(-1, 1, 1, 1), start, initial, out=start)


def _at_full_size(options: StylizeOptions, width: int, height: int, seconds: float) -> StylizeOptions:
    """With the steps of this size, and the time that is left after so many seconds."""
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
