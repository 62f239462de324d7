"""One chunk on the device: pairs of one style, size and options, stylized at once and measured one by one."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flows.errors import DeviceLost, DeviceUnusable
from flows.records.timestamps import Moment
from flows.worker.capacity import Capacity
from flows.worker.engine import backbone_of, extra_for, mask_notes, named, request_for
from flows.worker.finishing import levels_of, seen
from flows.worker.history import Histories, both
from flows.worker.inputs import LoadedPair, StyleInputs
from flows.worker.job import Job
from flows.worker.lost_device import loss_noticed
from flows.worker.stylized import Stylized
from flows.worker.timelines import Timelines
from nst_core.backbones.backbone import Backbone
from nst_core.errors import DivergedError, OutOfMemory, WeightsError
from nst_core.machine.memory import check_fits
from nst_core.measure import distances, measure
from nst_core.optimize import OnStep
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.pixels import from_array, to_array, to_picture
from nst_core.stylize import stylize

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

NO_PAIR_S_FAULT = (WeightsError, DeviceUnusable, DeviceLost)
"""Errors that end the batch, and are no outcome of any of its pairs."""


@dataclass(frozen=True)
class _Turn:
    """Pairs that were on the device together: since when, how long each has had of it, and what was seen on the way."""

    started_at: str
    share_seconds: float
    histories: Histories
    timelines: Timelines | None
    notes: list[tuple[str, ...]]


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
        WeightsError, DeviceUnusable, DeviceLost: which are no pair's fault.
    """
    backbone = backbone_of(job, device)
    size = chunk[0].size

    def at_once(pairs: Sequence[LoadedPair]) -> list[Stylized | Exception]:
        with loss_noticed(device):
            return tried(pairs)

    def tried(pairs: Sequence[LoadedPair]) -> list[Stylized | Exception]:
        # Before the style is encoded, which of a poster takes minutes.
        check_fits(*size, backbone, extra=max(extra_for(pair, style) for pair in pairs))
        try:
            return _stylize_at_once(pairs, style, job, backbone, on_step)
        except OutOfMemory as error:
            if len(pairs) > 1:
                raise
            reason = str(error)
        # Outside of the except block, which keeps the tensors of the failed try alive.
        logger.warning("%s: trying again in as little memory as there can be: %s", pairs[0].pair.spec.pair_id, reason)
        return _stylize_at_once(pairs, style, job, backbone, on_step, free=0)

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
    except NO_PAIR_S_FAULT:
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
    free: int | None = None,
) -> list[Stylized | Exception]:
    first = pairs[0]
    began, histories = Moment.now(), Histories(len(pairs))
    timelines = None if job.timeline == "none" else Timelines(len(pairs), first.size)
    requests = [request_for(loaded, style, job, backbone.device) for loaded in pairs]
    with named(first.pair.spec.content):
        results = stylize(requests, backbone, both(histories, both(timelines, on_step)), free=free)
    notes = [mask_notes(loaded, style) for loaded in pairs]
    turn = _Turn(began.utc, began.seconds_since() / len(pairs), histories, timelines, notes)
    return [
        result if isinstance(result, DivergedError) else _measured(loaded, request, result, backbone, turn, place)
        for place, (loaded, request, result) in enumerate(zip(pairs, requests, results, strict=True))
    ]


def _measured(
    loaded: LoadedPair, request: StylizeRequest, result: StylizeResult, backbone: Backbone, turn: _Turn, place: int
) -> Stylized | Exception:
    """A pair's pastiche as its file will hold it, and the losses of that."""
    began = Moment.now()
    try:
        with loss_noticed(backbone.device):
            levels = levels_of(to_array(result.pastiche), loaded)
            pixels = from_array(seen(levels, loaded))
            losses = measure(pixels, request, backbone, result.content)
            apart = distances(pixels, request, backbone, losses)
    except NO_PAIR_S_FAULT:
        raise
    except Exception as error:  # noqa: BLE001  # of this one pair: the others are finished
        return error
    timelines = turn.timelines
    trouble = timelines.trouble(place) if timelines else ""
    return Stylized(
        loaded=loaded,
        levels=levels,
        losses=losses,
        distances=apart,
        initial=result.initial,
        steps=result.steps,
        evaluations=result.evaluations,
        stop_reason=result.stop_reason,
        seconds=turn.share_seconds + began.seconds_since(),
        started_at=turn.started_at,
        notes=(*turn.notes[place], *((f"no timeline: {trouble}",) if trouble else ())),
        history=turn.histories.of(place),
        frames=timelines.of(place, to_picture(pixels)) if timelines else (),
    )
