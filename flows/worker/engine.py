"""The caches of a worker process that outlive a batch: its backbone and the last few encoded styles.

Only the thread that drives the device calls this module, so nothing is computed twice at the same time.
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
from nst_core.scene.masks.matching import RegionColours, region_colours
from nst_core.scene.styles import StyleImage


def backbone_of(job: Job, device: str) -> Backbone:
    """Return the run's backbone on a device, loaded once per process.

    Raises:
        WeightsError: if the weights file is not the run's.
        DeviceUnusable: if the device cannot be used.
    """
    return _backbone(_weights(job), device, job.precision, job.threads)


def request_for(loaded: LoadedPair, styles: StyleInputs, job: Job, device: str) -> StylizeRequest:
    """Return the engine's request for a pair; pairs that use a style in the same way share its encoding.

    Raises:
        OptionsError: if an image is too small for a layer, or two masks do not match; the message names the file.
    """
    options = loaded.pair.spec.options
    colours = _colours_of(loaded, styles)
    backbone, content = backbone_of(job, device), loaded.content.picture
    mask, start = (_picture(loaded.others.get(one)) for one in ("content_mask", "init_image"))
    guides = ContentGuides(mask, _over_black(loaded.others.get("protect")), start, loaded.content.alpha)
    with naming_file(_cause_of_small_style(loaded, styles)):
        if options.colors == "style":
            size = _shape_for(styles, loaded.size, options)
            is_large = size[0] * size[1] > EXACT_PIXELS
            encoded = _encoded_large_style if is_large else _encoded_style
            style = encoded(styles, size, _Encoding.by(options), backbone, colours)
        else:  # the recoloured style depends on the content, so it cannot be cached
            style = _style(styles, loaded.size, options, backbone, colours, painted_pixels(content, guides))
    return request_of(content, style, options, guides, colours)


def _cause_of_small_style(loaded: LoadedPair, styles: StyleInputs) -> str:
    """Return the address of the image to name if a style image is too small for a layer.

    It is the one, of those of a blend, that has the shortest side at the size of its use; or the content, if its shape
    is that of the style.
    """
    spec = loaded.pair.spec
    if RECIPES[spec.options.recipe].style_takes_content_shape:
        return spec.content
    shortest = {
        column: min(size_of_style(one.picture.size, loaded.size, spec.options))
        for column, one in styles.by_column
        if column != "style_mask"
    }
    return spec.pictures[min(shortest, key=lambda column: shortest[column])]


def mask_notes(loaded: LoadedPair, styles: StyleInputs) -> tuple[str, ...]:
    """Return messages for the user about areas of a pair's masks that do not count as regions."""
    colours = _colours_of(loaded, styles)
    return colours.notes if colours else ()


def extra_for(loaded: LoadedPair, styles: StyleInputs) -> Extra:
    """Return the memory that a pair needs in addition to its images; see `nst_core.machine.footprint.extra_of`.

    Raises:
        OptionsError: if two masks do not match; the message names the file.
    """
    colours = _colours_of(loaded, styles)
    regions = len(colours.content) if colours else int(loaded.content.alpha is not None)
    return extra_of(loaded.pair.spec.options, regions, protects="protect" in loaded.others)


def _colours_of(loaded: LoadedPair, styles: StyleInputs) -> RegionColours | None:
    with naming_file(loaded.pair.spec.others.get("content_mask", loaded.pair.spec.content)):
        return _region_colours(loaded.others.get("content_mask"), styles.mask)


def _picture(source: Input | None) -> Image.Image | None:
    return None if source is None else source.picture


def _over_black(mask: Input | None) -> Image.Image | None:
    """Return a mask composited over black, so that its transparent parts protect nothing."""
    if mask is None or mask.alpha is None:
        return _picture(mask)
    return Image.composite(mask.picture, Image.new("RGB", mask.picture.size), mask.alpha)


@functools.lru_cache(maxsize=STYLES_KEPT)
def _region_colours(content_mask: Input | None, style_mask: Input | None) -> RegionColours | None:
    return region_colours(_picture(content_mask), _picture(style_mask))


def _shape_for(styles: StyleInputs, pastiche: tuple[int, int], options: StylizeOptions) -> tuple[int, int]:
    """Return the pastiche size to encode a style for, the same for as many pastiches as possible.

    Usually only the pastiche's long edge decides the size of a style; then a square of that edge stands for all shapes,
    and their pairs share one encoding.
    """
    long_edge = max(pastiche)
    square = (long_edge, long_edge)
    same_size = all(
        size_of_style(one.picture.size, pastiche, options) == size_of_style(one.picture.size, square, options)
        for one in styles.pictures
    )
    return square if same_size else pastiche


@contextmanager
def naming_file(address: str) -> Iterator[None]:
    """Prefix the message of an OptionsError with an image's address, which the engine does not know."""
    try:
        yield
    except OptionsError as error:
        raise OptionsError(f"{address}: {error}") from error


def _weights(job: Job) -> WeightsFile:
    """Return the run's weights file on this machine, which may not be the machine that planned the run."""
    if os.path.exists(job.weights.path):
        return job.weights
    return weights_here(job.weights.backbone, job.weights_address, job.weights.sha256)


@functools.lru_cache(maxsize=1)
def _backbone(weights: WeightsFile, device: str, precision: PrecisionName, threads: int | None) -> Backbone:
    try:
        prepare_process(device, threads)
        return load_backbone(weights, device, precision)
    except (RuntimeError, MemoryError, AssertionError) as error:  # a torch built without CUDA raises AssertionError
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DeviceUnusable(
            f"{device} cannot be used: {reason}. Another process may have it or its memory, as nvidia-smi tells, or it "
            "is broken: wait for that one's end, or name another with --device"
        ) from error


@dataclass(frozen=True)
class _Encoding:
    """The cache key of an encoded style: the options that decide how it is encoded. Pairs of equal keys share it.

    Attributes:
        comparison: what the recipe compares of a layer: Gram matrices, or means and covariances.
        takes_content_shape: whether the recipe resizes the style to the content's shape.
        layers: the style layers.
        pooling: the backbone's pooling.
        scale: the option `style_scale`.
        blend: the option `style_blend`.
        options: all options of a pair, to encode with; those that are not above make no difference, so this attribute
            is not compared.
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
        """Return the key for options whose `colors` is `style`, so that the style does not depend on the content."""
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
"""The same with a cache of one: at a poster's size, an encoded style holds a gigabyte that the optimisation needs."""


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
