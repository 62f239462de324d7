"""What a worker process keeps from batch to batch: its backbone, and the last few styles, decoded and encoded.

Called by the thread that drives the device alone: so nothing is made twice.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.records import PlannedPair
from flows.worker.inputs import STYLES_KEPT, Input
from flows.worker.job import Job
from flows.worker.weights import weights_here
from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile
from nst_core.errors import OptionsError
from nst_core.hardware import PrecisionName
from nst_core.images import resize
from nst_core.options import StylizeOptions
from nst_core.pictures import size_of_style
from nst_core.pixels import to_tensor
from nst_core.runtime import prepare_process
from nst_core.stylize import StyleImage, prepare_style


def backbone_of(job: Job, device: str) -> Backbone:
    """The run's network on a device, loaded once per process.

    Raises:
        WeightsError: if the weights file is not the run's.
    """
    return _backbone(_weights(job), device, job.precision, job.threads)


def style_for(style: Input, pair: PlannedPair, pastiche: tuple[int, int], job: Job, device: str) -> StyleImage:
    """The style at the size that goes with a pastiche, encoded once for all pairs that use it so.

    Raises:
        OptionsError: naming the style's file, if it is too small for a layer at that size.
    """
    options = pair.spec.options
    size = size_of_style(style.picture.size, pastiche, options)
    with named(pair.spec.style):
        return _encoded_style(style, size, _target_options(options), backbone_of(job, device))


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
    prepare_process(device, threads)
    return load_backbone(weights, device, precision)


@functools.lru_cache(maxsize=STYLES_KEPT)
def _encoded_style(
    style: Input,
    size: tuple[int, int],
    options: StylizeOptions,
    backbone: Backbone,
) -> StyleImage:
    return prepare_style(backbone, to_tensor(resize(style.picture, *size)), options)


def _target_options(options: StylizeOptions) -> StylizeOptions:
    """Options alike in all that decides a style target, so that pairs that differ in the rest share it."""
    layers = StylizeOptions(style_layers=options.style_layers, pooling=options.pooling)
    return layers.resolved()
