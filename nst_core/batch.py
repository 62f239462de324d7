"""Batches of pairs: check that the pairs can share one, and build their common scene."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import ShapeError
from nst_core.geometry.levels import level_count, usable_levels
from nst_core.losses.regions import Regions, batch_regions, region_count
from nst_core.options import StylizeOptions
from nst_core.request import StylizeRequest
from nst_core.scene.initial import initial_pastiche
from nst_core.scene.scene import Scene, as_batch


def shared_options(requests: Sequence[StylizeRequest]) -> StylizeOptions:
    """Return the options that all pairs of a batch share.

    Raises:
        ShapeError: if the pairs differ in size, in the number of regions or levels, or in options other than the seed.
    """
    first = requests[0]
    for request in requests[1:]:
        if request.content.shape != first.content.shape:
            raise ShapeError(
                f"a batch takes pairs of equal size, got {tuple(first.content.shape)} and "
                f"{tuple(request.content.shape)}"
            )
        if region_count(request.regions) != region_count(first.regions):
            raise ShapeError("a batch takes pairs of equally many regions")
        if request.options.model_copy(update={"seed": first.options.seed}).digest() != first.options.digest():
            raise ShapeError("a batch takes pairs of equal options; only the seed may differ")
        if level_count_of(request) != level_count_of(first):
            raise ShapeError("a batch takes pairs of equally many levels: with an image to start from, or all without")
    return first.options


def level_count_of(request: StylizeRequest) -> int:
    """Return the number of sizes at which a pair is optimised, full size included."""
    options, (height, width) = request.options, request.content.shape[2:]
    wanted = level_count(width, height, options.levels, from_picture=request.initial is not None)
    return usable_levels(wanted, min(height, width, request.style.shortest_px), options)


def scene_of(requests: Sequence[StylizeRequest], backbone: Backbone) -> Scene:
    """Build the full-size scene of a batch on the backbone's device."""
    device = backbone.device
    contents = as_batch([request.content.detach() for request in requests]).to(device)
    protected = None
    if any(request.protected is not None for request in requests):
        # A pair without protection gets an all-zero mask, so that the batch has one mask per pair.
        nowhere = torch.zeros_like(contents[:1, :1])
        masks = (nowhere if request.protected is None else request.protected.to(device) for request in requests)
        protected = torch.cat(list(masks))
    regions = batch_regions([request.regions for request in requests], *contents.shape[2:])
    regions = regions and Regions(regions.maps.to(device))
    return Scene(contents, tuple(request.style for request in requests), requests[0].options, protected, regions)


def initial_of(requests: Sequence[StylizeRequest], backbone: Backbone) -> Tensor:
    """Return the initial pastiches of a batch on the backbone's device, shape (N, 3, H, W), in [0, 1]."""
    return as_batch([_initial(request).to(backbone.device) for request in requests])


def _initial(request: StylizeRequest) -> Tensor:
    if request.initial is not None:
        return request.initial.detach()
    style = request.style.pictures[0].image.detach()
    return initial_pastiche(request.content.detach(), style, request.options)
