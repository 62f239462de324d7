"""Stylize one chunk on the device: pairs of one style, size and options, optimised together and measured one by one."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flows.errors import DeviceLost, DeviceUnusable
from flows.records.timestamps import Moment
from flows.worker.capacity import Capacity
from flows.worker.engine import backbone_of, extra_for, mask_notes, naming_file, request_for
from flows.worker.finishing import levels_of, pixels_as_read
from flows.worker.history import Histories, each_of
from flows.worker.inputs import LoadedPair, StyleInputs
from flows.worker.job import Job
from flows.worker.lost_device import detecting_device_loss
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
"""Errors that end the batch and are not the outcome of a pair."""


@dataclass(frozen=True)
class _Turn:
    """What the pairs that were on the device together have in common.

    Attributes:
        started_at: when they started, in UTC.
        share_seconds: each pair's share of the device's time.
        histories: the samples of their losses.
        timelines: the frames of how they evolved; None where no timeline was requested.
    """

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
    """Yield every pair of a chunk with its result, or with the error that this pair caused.

    Args:
        chunk: pairs of one style, size and options.
        style: the images of their style.
        job: what the pairs of the run share.
        device: the device, as torch names it.
        capacity: learns from chunks that did not fit into memory.
        on_step: called after every evaluation.

    Raises:
        WeightsError, DeviceUnusable, DeviceLost: if the batch cannot go on; no pair is at fault.
    """
    backbone = backbone_of(job, device)
    size = chunk[0].size

    def at_once(pairs: Sequence[LoadedPair]) -> list[Stylized | Exception]:
        with detecting_device_loss(device):
            return retried_in_least_memory(pairs)

    def retried_in_least_memory(pairs: Sequence[LoadedPair]) -> list[Stylized | Exception]:
        # Memory is checked before the style is encoded, which takes minutes at a poster's size.
        check_fits(*size, backbone, extra=max(extra_for(pair, style) for pair in pairs))
        try:
            return _stylize_at_once(pairs, style, job, backbone, on_step)
        except OutOfMemory as error:
            if len(pairs) > 1:
                raise
            reason = str(error)
        # The retry is outside of the except block, whose traceback keeps the tensors of the failed try alive.
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
    """Yield every item with its result, bisecting the items when their work fails as a whole.

    So items that do not fit into memory together do not fail, and an item at fault fails alone: the result of a single
    item whose work fails is the error.

    Args:
        items: the items, at least one.
        work: returns the results of some items, in their order, or raises an error.
        on_failure: called with the number of items and the error before they are retried in halves.
    """
    results = _results_or_error(items, work)
    if not isinstance(results, Exception):
        yield from zip(items, results, strict=True)
    elif len(items) == 1:
        yield items[0], results
    else:
        on_failure(len(items), results)
        del results  # the error's traceback keeps the tensors of the failed try alive
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
    except Exception as error:  # noqa: BLE001  # whatever it is, a single item may be at fault
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
    """Stylize pairs together and return the result, or the error, of each.

    Args:
        pairs: pairs of one style, size and options.
        style: the images of their style.
        job: what the pairs of the run share.
        backbone: the backbone on its device.
        on_step: called after every evaluation.
        free: the bytes of memory to plan with; None asks the device.
    """
    first = pairs[0]
    began, histories = Moment.now(), Histories(len(pairs))
    timelines = None if job.timeline == "none" else Timelines(len(pairs), first.size)
    requests, notes = [], []
    for loaded in pairs:
        requests.append(request_for(loaded, style, job, backbone.device))
        notes.append(mask_notes(loaded, style))  # now, while the colours of these masks are cached
    with naming_file(first.pair.spec.content):
        results = stylize(requests, backbone, each_of(histories, timelines, on_step), free=free)
    turn = _Turn(began.utc, began.seconds_since() / len(pairs), histories, timelines, notes)
    return [
        result if isinstance(result, DivergedError) else _measured(loaded, request, result, backbone, turn, place)
        for place, (loaded, request, result) in enumerate(zip(pairs, requests, results, strict=True))
    ]


def _measured(
    loaded: LoadedPair, request: StylizeRequest, result: StylizeResult, backbone: Backbone, turn: _Turn, place: int
) -> Stylized | Exception:
    """Return a pair's result with the pixel values of its file and the losses of these, or the error of computing them.

    Args:
        loaded: the pair.
        request: the pair's request to the engine.
        result: the engine's result.
        backbone: the backbone on its device.
        turn: what the pairs that were stylized together have in common.
        place: the pair's index among these.
    """
    began = Moment.now()
    try:
        with detecting_device_loss(backbone.device):
            levels = levels_of(to_array(result.pastiche), loaded)
            pixels = from_array(pixels_as_read(levels, loaded))
            losses = measure(pixels, request, backbone, result.content)
            content_and_style_distances = distances(pixels, request, backbone, losses)
    except NO_PAIR_S_FAULT:
        raise
    except Exception as error:  # noqa: BLE001  # this pair alone fails: the others are finished
        return error
    timelines = turn.timelines
    trouble = timelines.trouble(place) if timelines else ""
    return Stylized(
        loaded=loaded,
        levels=levels,
        losses=losses,
        distances=content_and_style_distances,
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
