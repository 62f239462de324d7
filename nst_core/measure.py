"""Measure a finished image: its losses, and its distances from content and style."""

import dataclasses
import functools

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.batch import scene_of
from nst_core.errors import ShapeError
from nst_core.geometry.sizes import smallest_side
from nst_core.geometry.tiles import EXACT_PIXELS
from nst_core.losses.targets import ContentTarget, StyleTarget
from nst_core.losses.values import Distances, LossValues
from nst_core.machine.faults import within_memory
from nst_core.machine.runtime import give_freed_back
from nst_core.options import StylizeOptions
from nst_core.options.objective import CONTENT_LOSS, SEEN_AS, STYLE_LOSS
from nst_core.request import StylizeRequest
from nst_core.scene.pixels import check_image, check_range
from nst_core.scene.styles import StyleImage, style_target


def measure(
    pixels: Tensor, request: StylizeRequest, backbone: Backbone, content: ContentTarget | None = None
) -> LossValues:
    """Compute the fp32 losses of one finished image, unbatched and by the exact path.

    Args:
        pixels: the image as its file holds it, shape (1, 3, H, W), in [0, 1].
        request: the request that the image was made for.
        backbone: the network.
        content: the request's content target, if `StylizeResult.content` already has it.

    Raises:
        ShapeError: if the image's shape differs from the content's.
    """
    if pixels.shape != request.content.shape:
        raise ShapeError(f"expected an image of shape {tuple(request.content.shape)}, got {tuple(pixels.shape)}")
    check_image(pixels, "image")
    what = f"an image of {pixels.shape[3]} x {pixels.shape[2]} px"
    return within_memory(what, backbone.device, lambda: _measure(pixels, request, backbone, content))


def distances(pixels: Tensor, request: StylizeRequest, backbone: Backbone, known: LossValues) -> Distances | None:
    """Compute how far a finished image is from its content and style, in one measure for all recipes.

    The style is the one that the request used: at its scale, squeezed to the content's shape by `notebook`, and
    recoloured as the option `colors` says.

    Args:
        pixels: the image as its file holds it.
        request: the request that the image was made for.
        backbone: the network.
        known: the losses that `measure` returned for the image; they already are the distances if recipe and layers
            equal those of this measure.

    Returns:
        The unweighted content and style losses of the recipe `relative` at its default layers; None if an image is too
            small for those layers.
    """
    ruler = StylizeOptions.model_validate({name: getattr(request.options, name) for name in SEEN_AS}).resolved()
    if all(getattr(ruler, name) == getattr(request.options, name) for name in (*CONTENT_LOSS, *STYLE_LOSS)):
        return Distances(known.content, known.style)
    shortest = min(*pixels.shape[2:], request.style.shortest_px)
    if shortest < max(map(smallest_side, (*ruler.content_layers, *ruler.style_layers))):
        return None
    # A cached style keeps its images alive, and a poster's take gigabytes: large styles bypass the cache.
    is_large = pixels.shape[2] * pixels.shape[3] > EXACT_PIXELS
    target_of = _ruler_target.__wrapped__ if is_large else _ruler_target
    target = within_memory("a style", backbone.device, lambda: target_of(request.style, backbone, ruler))
    measured = measure(
        pixels, dataclasses.replace(request, options=ruler, style=StyleImage(request.style.pictures, target)), backbone
    )
    return Distances(measured.content, measured.style)


@functools.lru_cache(maxsize=4)
def _ruler_target(style: StyleImage, backbone: Backbone, ruler: StylizeOptions) -> StyleTarget:
    """Return a style's target for the common measure, cached for the pairs that share the style."""
    return style_target(backbone.exact, style.pictures, ruler, backbone.device)


@torch.no_grad()
def _measure(pixels: Tensor, request: StylizeRequest, backbone: Backbone, content: ContentTarget | None) -> LossValues:
    give_freed_back(pixels.shape[2] * pixels.shape[3])
    check_range(pixels, "image")
    scene = scene_of([request], backbone)
    target = scene.content_target(backbone.exact) if content is None else content
    loss = scene.exact_loss(backbone.exact, target, request.style.target)
    return loss(scene.canvas.seen(pixels.to(backbone.device))).values()[0]
