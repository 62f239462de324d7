"""One pair on one device: read, stylize, commit. Runs in a worker process; knows nothing of prefect.

The backbone, the last few style targets and decoded styles are kept in the process from pair to pair.
"""

import functools
import hashlib
import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from flows import storage
from flows.errors import StorageError
from flows.ledger import Ledger
from flows.records import AttemptRecord, PairRecord, PlannedPair, failed_attempt, utc_now
from nst_core import __version__
from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile
from nst_core.errors import NstError, OptionsError, OutOfMemory, WeightsError
from nst_core.images import MAX_BYTES, decode_image, encode_image, resize
from nst_core.losses.perceptual import LossValues
from nst_core.options import StylizeOptions
from nst_core.pixels import to_picture, to_tensor
from nst_core.recipes import RECIPES
from nst_core.runtime import PrecisionName, describe_device, prepare_process
from nst_core.sizes import pastiche_size, style_size
from nst_core.stylize import StyleImage, StylizeRequest, StylizeResult, measure, prepare_style, stylize

logger = logging.getLogger(__name__)

STYLES_KEPT = 4
EXTENSIONS = {"png": "png", "jpeg": "jpg"}


@dataclass(frozen=True)
class Job:
    """What every pair of a run shares."""

    output: str
    run_id: str
    weights: WeightsFile
    precision: PrecisionName


class InputChanged(StorageError):
    """A content or style image was replaced between planning and reading."""

    kind = "input_changed"
    retryable = True


@dataclass(frozen=True)
class _Input:
    picture: Image.Image
    sha256: str
    notes: tuple[str, ...]


def stylize_pair(pair: PlannedPair, job: Job, device: str) -> PairRecord | AttemptRecord:
    """Stylize and commit one pair, or keep the reason why it failed. The boundary where errors become records.

    Raises:
        WeightsError: which is no pair's fault and ends the run.
    """
    began, started_at = time.monotonic(), utc_now()
    try:
        return _stylize_and_commit(pair, job, device, began, started_at)
    except WeightsError:
        raise
    except NstError as error:
        failure: Exception = error
    except MemoryError:
        failure = OutOfMemory(f"{pair.spec.content}: too little memory to read or write it")
    except Exception as error:  # the row boundary: whatever it is, the other rows go on and this one says why
        logger.exception("row %d (%s) failed unexpectedly", pair.spec.row, pair.spec.pair_id)
        failure = error
    seconds = time.monotonic() - began
    attempt = failed_attempt(pair, job.run_id, failure, device=device, seconds=seconds, started_at=started_at)
    Ledger(job.output).add_attempt(attempt)
    return attempt


def _stylize_and_commit(pair: PlannedPair, job: Job, device: str, began: float, started_at: str) -> PairRecord:
    options = pair.spec.options
    content = _read_input(pair.spec.content, pair.content_identity)
    style = _read_style(pair.spec.style, pair.style_identity)
    width, height = pastiche_size(*content.picture.size, options.size_px, enlarge=options.enlarge)
    style_width, style_height = _style_size(style.picture, (width, height), options)

    target_options = _style_options(options)
    prepared = _prepared_style(
        pair.spec.style,
        pair.style_identity,
        style_width,
        style_height,
        target_options,
        job.weights,
        device,
        job.precision,
    )
    backbone = _backbone(job.weights, device, job.precision)
    request = StylizeRequest(to_tensor(resize(content.picture, width, height)), prepared, options)
    with _named(pair.spec.content):
        (result,) = stylize([request], backbone)
    if not isinstance(result, StylizeResult):
        raise result

    data, losses = _encode(result, request, backbone, pair, options)
    sha256 = hashlib.sha256(data).hexdigest()
    output = f"images/{pair.spec.pair_id}-{sha256[:8]}.{EXTENSIONS[options.output_format]}"
    # Named by its content, so that writing it again changes nothing; whole, even where a crash left a part of it.
    storage.replace(storage.join(job.output, output), data)
    record = PairRecord(
        pair_id=pair.spec.pair_id,
        fingerprint=pair.fingerprint,
        run_id=job.run_id,
        content=pair.spec.content,
        style=pair.spec.style,
        output=output,
        attempts=pair.attempt,
        total_loss=losses.total,
        content_loss=losses.content,
        style_loss=losses.style,
        tv_loss=losses.tv,
        initial_total_loss=result.initial.total,
        steps=result.steps,
        evaluations=result.evaluations,
        stop_reason=result.stop_reason,
        width=width,
        height=height,
        seconds=round(time.monotonic() - began, 3),
        device=describe_device(device),
        precision=job.precision,
        backbone=job.weights.backbone,
        weights_sha256=job.weights.sha256,
        recipe=options.recipe,
        options_digest=options.digest(),
        options=options,
        seed=options.seed,
        content_sha256=content.sha256,
        style_sha256=style.sha256,
        output_sha256=sha256,
        started_at=started_at,
        finished_at=utc_now(),
        engine_version=__version__,
        notes=(*_notes("content", content), *_notes("style", style), *_size_notes(width, height, options)),
    )
    return Ledger(job.output).commit(record)


def _encode(
    result: StylizeResult, request: StylizeRequest, backbone: Backbone, pair: PlannedPair, options: StylizeOptions
) -> tuple[bytes, LossValues]:
    """The file to save, and the losses of what a reader of that file will see: decoded, 8 bits, fp32."""
    picture = to_picture(result.pastiche)
    plain = encode_image(picture, file_format=options.output_format, jpeg_quality=options.jpeg_quality, metadata={})
    # Not `decode_image`: the limits on inputs do not hold for a pastiche, which may be thinner.
    seen = to_tensor(Image.open(io.BytesIO(plain)).convert("RGB"))
    losses = measure(seen, request, backbone)
    metadata = {
        "pair_id": pair.spec.pair_id,
        "options_digest": options.digest(),
        "recipe": options.recipe,
        "total_loss": repr(losses.total),
        "content_loss": repr(losses.content),
        "style_loss": repr(losses.style),
        "tv_loss": repr(losses.tv),
        "engine_version": __version__,
    }
    data = encode_image(
        picture, file_format=options.output_format, jpeg_quality=options.jpeg_quality, metadata=metadata
    )
    return data, losses


def _read_input(address: str, identity: str) -> _Input:
    data = storage.read(address, MAX_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    now = f"sha256:{sha256}" if identity.startswith("sha256:") else storage.identity(address)
    if now != identity:
        raise InputChanged(f"{address}: was replaced after this run was planned. Run again to use the new file")
    decoded = decode_image(data, address)
    return _Input(decoded.picture, sha256, decoded.notes)


@functools.lru_cache(maxsize=STYLES_KEPT)
def _read_style(address: str, identity: str) -> _Input:
    return _read_input(address, identity)


@functools.lru_cache(maxsize=1)
def _backbone(weights: WeightsFile, device: str, precision: PrecisionName) -> Backbone:
    prepare_process(device)
    return load_backbone(weights, device, precision)


def _style_size(style: Image.Image, pastiche: tuple[int, int], options: StylizeOptions) -> tuple[int, int]:
    if RECIPES[options.recipe].style_takes_content_shape:
        return pastiche
    return style_size(*style.size, pastiche, options.style_scale)


def _style_options(options: StylizeOptions) -> StylizeOptions:
    """Options alike in all that decides a style target, so that pairs that differ in the rest share it."""
    layers = StylizeOptions(style_layers=options.style_layers, pooling=options.pooling)
    return layers.resolved()


@functools.lru_cache(maxsize=STYLES_KEPT)
def _prepared_style(
    address: str,
    identity: str,
    width: int,
    height: int,
    options: StylizeOptions,
    weights: WeightsFile,
    device: str,
    precision: PrecisionName,
) -> StyleImage:
    picture = resize(_read_style(address, identity).picture, width, height)
    with _named(address):
        return prepare_style(_backbone(weights, device, precision), to_tensor(picture), options)


@contextmanager
def _named(address: str) -> Iterator[None]:
    """Put the picture's name before what the engine, which knows no names, has to say of it."""
    try:
        yield
    except OptionsError as error:
        raise OptionsError(f"{address}: {error}") from error


def _notes(which: str, source: _Input) -> tuple[str, ...]:
    return tuple(f"{which}: {note}" for note in source.notes)


def _size_notes(width: int, height: int, options: StylizeOptions) -> tuple[str, ...]:
    if max(width, height) == options.size_px:
        return ()
    return (f"content is smaller than size_px: {width} x {height} instead of {options.size_px}; --enlarge enlarges it",)
