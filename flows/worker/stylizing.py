"""One chunk on the device: pairs of one style, size and options, stylized at once and measured one by one."""

import dataclasses
import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from flows.records import LossSample, utc_now
from flows.worker.capacity import Capacity
from flows.worker.engine import backbone_of, named, request_for
from flows.worker.history import Histories, both
from flows.worker.inputs import LoadedPair, StyleInputs
from flows.worker.job import Job
from flows.worker.stylized import Stylized
from flows.worker.timelines import Timelines
from nst_core.backbones.backbone import Backbone
from nst_core.errors import DivergedError, OutOfMemory, WeightsError
from nst_core.images import encode_image
from nst_core.optimize import OnStep
from nst_core.options import StylizeOptions
from nst_core.pixels import to_picture, to_tensor
from nst_core.stylize import StylizeRequest, StylizeResult, distances, measure, stylize

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Turn:
    """Pairs that were on the device together: since when, and how long each has had of it."""

    started_at: str
    share_seconds: float


def stylize_chunk(
    chunk: Sequence[LoadedPair],
    style: StyleInputs,
    job: Job,
    device: str,
    capacity: Capacity,
    on_step: OnStep | None = None,
) -> Iterator[tuple[LoadedPair, Stylized | Exception]]:
    """Every pair of a chunk with its pastiche, or with the error that is its own.

    Raises:
        WeightsError: which is no pair's fault and ends the run.
    """
    backbone = backbone_of(job, device)
    size = chunk[0].size

    def at_once(pairs: Sequence[LoadedPair]) -> list[Stylized | Exception]:
        try:
            return _stylize_at_once(pairs, style, job, backbone, on_step)
        except OutOfMemory as error:
            if len(pairs) > 1:
                raise
            reason = str(error)
        # Outside of the except block, which keeps the tensors of the failed try alive.
        logger.warning("%s: trying again in as little memory as there can be: %s", pairs[0].pair.spec.pair_id, reason)
        return _stylize_at_once(pairs, style, job, backbone, on_step, frugal=True)

    def on_failure(pairs: int, error: Exception) -> None:
        logger.warning("%d pairs of %d x %d px at once failed, trying them in two halves: %s", pairs, *size, error)
        capacity.learn(size, pairs, error)

    return in_halves(chunk, at_once, on_failure)


def in_halves(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
    on_failure: Callable[[int, Exception], None],
) -> Iterator[tuple[Item, Result | Exception]]:
    """Every item with its result; items whose work fails as a whole are tried again in halves, down to single ones.

    So too little memory for many is no failure of any of them, and one item that spoils the work spoils it for
    itself alone. A single item's failure is its result.
    """
    done = _results_or_error(items, work)
    if not isinstance(done, Exception):
        yield from zip(items, done, strict=True)
    elif len(items) == 1:
        yield items[0], done
    else:
        on_failure(len(items), done)
        del done  # its traceback holds the tensors of the failed try alive
        middle = (len(items) + 1) // 2
        yield from in_halves(items[:middle], work, on_failure)
        yield from in_halves(items[middle:], work, on_failure)


def _results_or_error(
    items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result | Exception]]
) -> Sequence[Result | Exception] | Exception:
    try:
        return work(items)
    except WeightsError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it may be one item's alone
        return error


def _stylize_at_once(
    pairs: Sequence[LoadedPair],
    style: StyleInputs,
    job: Job,
    backbone: Backbone,
    on_step: OnStep | None,
    *,
    frugal: bool = False,
) -> list[Stylized | Exception]:
    first = pairs[0]
    began, started_at, histories = time.monotonic(), utc_now(), Histories(len(pairs))
    timelines = None if job.timeline == "none" else Timelines(len(pairs), first.size)
    requests = [request_for(loaded, style, job, backbone.device) for loaded in pairs]
    with named(first.pair.spec.content):
        results = stylize(requests, backbone, both(histories, both(timelines, on_step)), frugal=frugal)
    turn = _Turn(started_at, (time.monotonic() - began) / len(pairs))
    measured = [
        _measured(loaded, request, result, backbone, turn, histories.of(place))
        for place, (loaded, request, result) in enumerate(zip(pairs, requests, results, strict=True))
    ]
    return [_with_timeline(one, timelines, place) for place, one in enumerate(measured)]


def _measured(
    loaded: LoadedPair,
    request: StylizeRequest,
    result: StylizeResult | DivergedError,
    backbone: Backbone,
    turn: _Turn,
    history: tuple[LossSample, ...],
) -> Stylized | Exception:
    if isinstance(result, DivergedError):
        return result
    began = time.monotonic()
    try:
        picture = to_picture(result.pastiche)
        saved = to_tensor(_as_saved(picture, request.options))
        losses = measure(saved, request, backbone, result.content)
        apart = distances(saved, request, backbone, losses)
    except Exception as error:  # noqa: BLE001  # of this one pair: the others are finished
        return error
    return Stylized(
        loaded=loaded,
        picture=picture,
        losses=losses,
        distances=apart,
        initial=result.initial,
        steps=result.steps,
        evaluations=result.evaluations,
        stop_reason=result.stop_reason,
        seconds=turn.share_seconds + time.monotonic() - began,
        started_at=turn.started_at,
        history=history,
    )


def _with_timeline(result: Stylized | Exception, timelines: Timelines | None, place: int) -> Stylized | Exception:
    if timelines is None or isinstance(result, Exception):
        return result
    trouble = timelines.trouble(place)
    notes = (*result.notes, f"no timeline: {trouble}") if trouble else result.notes
    return dataclasses.replace(result, notes=notes, frames=timelines.of(place, result.picture))


def _as_saved(picture: Image.Image, options: StylizeOptions) -> Image.Image:
    """The picture as a reader of its file will see it: a PNG is exact, a JPEG has to be made to know."""
    if options.output_format == "png":
        return picture
    plain = encode_image(picture, file_format="jpeg", jpeg_quality=options.jpeg_quality, metadata={})
    # Not `decode_image`: the limits on inputs do not hold for a pastiche, which may be thinner.
    return Image.open(io.BytesIO(plain)).convert("RGB")
