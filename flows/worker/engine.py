"""What a worker process keeps from batch to batch: its backbone, and the last few styles, decoded and encoded.

Called by the thread that drives the device alone: so nothing is made twice.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image
from torch import Tensor

from flows.errors import DeviceUnusable
from flows.worker.inputs import STYLES_KEPT, Input, LoadedPair, StyleInputs
from flows.worker.job import Job
from flows.worker.weights import weights_here
from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile
from nst_core.errors import OptionsError
from nst_core.geometry.tiles import EXACT_PIXELS
from nst_core.guides import ContentGuides, StyleSource, painted_pixels, request_of, size_of_style, style_of
from nst_core.machine.footprint import Extra, extra_of
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.runtime import prepare_process
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES
from nst_core.request import StylizeRequest
from nst_core.scene.masks import RegionColours, region_colours
from nst_core.scene.styles import StyleImage


def backbone_of(job: Job, device: str) -> Backbone:
    """The run's network on a device, loaded once per process.

    Raises:
        WeightsError: if the weights file is not the run's.
        DeviceUnusable: if no work can begin there.
    """
    return _backbone(_weights(job), device, job.precision, job.threads)


def request_for(loaded: LoadedPair, styles: StyleInputs, job: Job, device: str) -> StylizeRequest:
    """A pair as the engine takes it; a style is encoded once for all pairs that use it alike.

    Raises:
        OptionsError: naming the file that is too small for a layer, or a mask that does not fit the other.
    """
    spec, options = loaded.pair.spec, loaded.pair.spec.options
    colours = _colours_of(loaded, styles)
    backbone, content = backbone_of(job, device), loaded.content.picture
    mask, start = (_picture(loaded.others.get(one)) for one in ("content_mask", "init_image"))
    guides = ContentGuides(mask, _seen(loaded.others.get("protect")), start, loaded.content.alpha)
    with named(spec.style):
        if options.colors == "style":
            size = _shape_for(styles, loaded.size, options)
            is_large = size[0] * size[1] > EXACT_PIXELS
            encoded = _encoded_large_style if is_large else _encoded_style
            style = encoded(styles, size, _Encoding.by(options), backbone, colours)
        else:  # it depends on the content
            style = _style(styles, loaded.size, options, backbone, colours, painted_pixels(content, guides))
    return request_of(content, style, options, guides, colours)


def mask_notes(loaded: LoadedPair, styles: StyleInputs) -> tuple[str, ...]:
    """Return messages for the user about areas of a pair's masks that do not count as regions."""
    colours = _colours_of(loaded, styles)
    return colours.notes if colours else ()


def extra_for(loaded: LoadedPair, styles: StyleInputs) -> Extra:
    """What a pair takes beside its pictures; see `nst_core.machine.footprint.extra_of`.

    Raises:
        OptionsError: naming a mask that does not fit the other.
    """
    colours = _colours_of(loaded, styles)
    regions = len(colours.content) if colours else int(loaded.content.alpha is not None)
    return extra_of(loaded.pair.spec.options, regions, protects="protect" in loaded.others)


def _colours_of(loaded: LoadedPair, styles: StyleInputs) -> RegionColours | None:
    with named(loaded.pair.spec.others.get("content_mask", loaded.pair.spec.content)):
        return _region_colours(loaded.others.get("content_mask"), styles.mask)


def _picture(one: Input | None) -> Image.Image | None:
    return None if one is None else one.picture


def _seen(mask: Input | None) -> Image.Image | None:
    """A mask whose transparent parts are black, and so say nothing."""
    if mask is None or mask.alpha is None:
        return _picture(mask)
    return Image.composite(mask.picture, Image.new("RGB", mask.picture.size), mask.alpha)


@functools.lru_cache(maxsize=STYLES_KEPT)
def _region_colours(content_mask: Input | None, style_mask: Input | None) -> RegionColours | None:
    return region_colours(_picture(content_mask), _picture(style_mask))


def _shape_for(styles: StyleInputs, pastiche: tuple[int, int], options: StylizeOptions) -> tuple[int, int]:
    """A shape of pastiches for which the style has the sizes that it has for this one: their long edge decides."""
    long_edge = max(pastiche)
    square = (long_edge, long_edge)
    alike = all(
        size_of_style(one.picture.size, pastiche, options) == size_of_style(one.picture.size, square, options)
        for one in styles.pictures
    )
    return square if alike else pastiche


@contextmanager
def named(address: str) -> Iterator[None]:
    """Put the picture's name before what the engine, which knows no names, has to say of it."""
    try:
        yield
    except OptionsError as error:
        raise OptionsError(f"{address}: {error}") from error


def _weights(job: Job) -> WeightsFile:
    """The run's weights file on this machine, which need not be the one that planned the run."""
    if os.path.exists(job.weights.path):
        return job.weights
    return weights_here(job.weights.backbone, job.weights_address, job.weights.sha256)


@functools.lru_cache(maxsize=1)
def _backbone(weights: WeightsFile, device: str, precision: PrecisionName, threads: int | None) -> Backbone:
    try:
        prepare_process(device, threads)
        return load_backbone(weights, device, precision)
    except (RuntimeError, MemoryError, AssertionError) as error:  # the last one of a torch that was built without CUDA
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DeviceUnusable(
            f"{device} cannot be used: {reason}. Another process may have it or its memory, as nvidia-smi tells, or it "
            "is broken: wait for that one's end, or name another with --device"
        ) from error


@dataclass(frozen=True)
class _Encoding:
    """All of a pair's options that decide how its style is encoded: pairs that are alike in it share the target.

    Attributes:
        options: the pair's own, to encode with; the rest of them makes no difference to the target.
    """

    comparison: str
    takes_content_shape: bool
    layers: tuple[str, ...]
    pooling: str
    scale: float
    blend: tuple[float, ...] | None
    options: StylizeOptions = field(compare=False)

    @staticmethod
    def by(options: StylizeOptions) -> "_Encoding":
        """As some options say; colours are the style's own."""
        recipe = RECIPES[options.recipe]
        return _Encoding(
            recipe.comparison,
            recipe.style_takes_content_shape,
            options.style_layers,
            options.pooling,
            options.style_scale,
            options.style_blend,
            options,
        )


@functools.lru_cache(maxsize=STYLES_KEPT)
def _encoded_style(
    styles: StyleInputs,
    pastiche: tuple[int, int],
    encoding: _Encoding,
    backbone: Backbone,
    colours: RegionColours | None,
) -> StyleImage:
    return _style(styles, pastiche, encoding.options, backbone, colours)


_encoded_large_style = functools.lru_cache(maxsize=1)(_encoded_style.__wrapped__)
"""Of a poster a style's picture takes a gigabyte of the memory that its optimisation wants."""


def _style(
    styles: StyleInputs,
    pastiche: tuple[int, int],
    options: StylizeOptions,
    backbone: Backbone,
    colours: RegionColours | None,
    content: Tensor | None = None,
) -> StyleImage:
    source = StyleSource(tuple(one.picture for one in styles.pictures), _picture(styles.mask))
    return style_of(source, pastiche, options, backbone, colours, content)
