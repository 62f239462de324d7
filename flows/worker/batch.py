"""A batch on one device: while it is busy with some pairs, threads load the next ones and write the last ones."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from os import getpid
from typing import TYPE_CHECKING

from flows import storage
from flows.decoding import decoder_pool
from flows.errors import DeviceLost, HardwareUnknown
from flows.records.attempts import AttemptRecord
from flows.records.plans import PlannedPair
from flows.records.timestamps import Moment
from flows.worker.animation import EDGE_PX, FRAMES
from flows.worker.chunks import Size, next_chunk
from flows.worker.failures import keep_failure
from flows.worker.inputs import LoadedPair, StyleInputs, load_pair, read_styles
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Emit, LeftPending, Outcome, StepTaken
from flows.worker.stub_results import make_up_chunk
from flows.worker.stylized import Stylized
from flows.worker.writing import write_pair
from nst_core.machine.hardware import peak_memory_bytes
from nst_core.options import StylizeOptions

if TYPE_CHECKING:
    from nst_core.optimize import OnStep, StepReport

LOADERS = 4
"""Threads that read and decode: enough to keep a GPU busy, and to hide the latency of S3."""

WRITERS = 4
"""Threads that encode, upload and commit."""

STEP_SECONDS = 1.0
"""Between two messages about steps."""

PIXELS_AHEAD = 128_000_000
"""Pixels of pairs that are loaded and wait for the device, at most, and again of those that wait to be written:
two times some 400 MB, at 3 bytes each, and a third more with alpha. Of 16 bits half as many wait to be written."""


@dataclass(frozen=True)
class _Work:
    """What all steps of one call share."""

    job: Job
    device: str
    emit: Emit


def stylize_pairs(emit: Emit, pairs: Sequence[PlannedPair], job: Job, device: str) -> None:
    """Stylize and commit pairs of one style and options; when this returns, the outcome of each was reported.

    `emit` is told of every chunk that is begun and of every pair that is finished, by several threads.

    Raises:
        WeightsError, HardwareUnknown: which are no pair's fault and end the run.
        DeviceUnusable: which is no pair's fault either, before the first of them has begun.
        DeviceLost: nor is this; pairs that were computed have their outcome, those that were not have none.
    """
    if device.startswith("cuda"):
        decoder_pool.side_by_side(LOADERS)
    decoder_pool.get_ready()  # while the engine is loaded
    with storage.guarded(job.output, job.writable):
        _stylize_pairs(_Work(job, device, emit), pairs)


def _stylize_pairs(work: _Work, pairs: Sequence[PlannedPair]) -> None:
    job, first = work.job, pairs[0].spec
    stylizer = _stylizer(work, pairs)
    began = Moment.now()
    try:
        style = read_styles(pairs[0], job.picture_limits)
    except Exception as error:  # noqa: BLE001  # without its style no pair can be done, and each says so
        for pair in pairs:
            work.emit(_failed(work, pair, error, began))
        return
    most_ahead, most_behind = _pairs_ahead(first.options), _pairs_behind(first.options, job)
    with ThreadPoolExecutor(LOADERS, "load") as loaders, ThreadPoolExecutor(WRITERS, "write") as writers:
        writes = _Writes(writers, most_behind, work.emit)
        try:
            for chunk in _chunks(work, pairs, stylizer.capacity, loaders, most_ahead):
                began = Moment.now()
                pair_ids = tuple(loaded.pair.spec.pair_id for loaded in chunk)
                work.emit(ChunkStarted(pair_ids, getpid(), peak_memory_bytes(work.device)))
                for loaded, result in stylizer.stylize(chunk, style):
                    writes.add(partial(_finish, work, loaded, result, style, began))
                work.emit(DeviceWaits())
        except DeviceLost:
            loaders.shutdown(wait=False, cancel_futures=True)  # nothing is computed any more
            work.emit(DeviceWaits())  # for what was, and is being written
            raise
        writes.end()


class _Writes:
    """Results on their way to storage; where that is slower than the device, the device waits."""

    def __init__(self, writers: ThreadPoolExecutor, most: int, emit: Emit) -> None:
        self._writers, self._most, self._emit = writers, most, emit
        self._under_way: deque[Future[None]] = deque()

    def add(self, write: Callable[[], None]) -> None:
        self._under_way.append(self._writers.submit(write))
        if len(self._under_way) > self._most:
            self._emit(DeviceWaits())
            while len(self._under_way) > self._most:
                self._under_way.popleft().result()
            self._emit(DeviceGoesOn())

    def end(self) -> None:
        for write in self._under_way:
            write.result()


@dataclass(frozen=True)
class _Stylizer:
    """The engine, or the stub in its place."""

    capacity: Callable[[Size], int]
    stylize: Callable[[Sequence[LoadedPair], StyleInputs], Iterator[tuple[LoadedPair, Stylized | Exception]]]


def _stylizer(work: _Work, pairs: Sequence[PlannedPair]) -> _Stylizer:
    if work.job.stub is not None:
        return _Stylizer(lambda _size: 1, lambda chunk, style: make_up_chunk(chunk, style.first, work.job))
    # Here, as they load torch, which takes seconds and which the stub does without.
    try:
        from flows.worker.capacity import Capacity, most_extra
        from flows.worker.engine import backbone_of
        from flows.worker.stylizing import stylize_chunk
    except (ImportError, OSError) as error:
        raise HardwareUnknown(f"torch cannot be started: {error}; install deploy/requirements.lock anew") from error

    capacity = Capacity(pairs[0].spec.options, backbone_of(work.job, work.device), most_extra(pairs))

    def stylize(chunk: Sequence[LoadedPair], style: StyleInputs) -> Iterator[tuple[LoadedPair, Stylized | Exception]]:
        on_step = _told_now_and_then(chunk, work.emit)
        return stylize_chunk(chunk, style, work.job, work.device, capacity, on_step)

    return _Stylizer(capacity, stylize)


def _told_now_and_then(chunk: Sequence[LoadedPair], emit: Emit) -> "OnStep":
    """Reports of steps for whoever watches, at most one in `STEP_SECONDS`."""
    last = time.monotonic()

    def on_step(step: "StepReport") -> None:
        nonlocal last
        if time.monotonic() - last < STEP_SECONDS:
            return
        last = time.monotonic()
        # A chunk that failed is done again in halves: the place then counts within the half, so it is a hint.
        pair_id = chunk[min(step.pair, len(chunk) - 1)].pair.spec.pair_id
        emit(StepTaken(pair_id, step.level, step.step, step.losses.total))

    return on_step


def _chunks(
    work: _Work,
    pairs: Sequence[PlannedPair],
    capacity: Callable[[tuple[int, int]], int],
    loaders: ThreadPoolExecutor,
    most_ahead: int,
) -> Iterator[list[LoadedPair]]:
    """Chunks for the device; while one of them is worked on, the loaders read and decode the pairs of the next."""
    unread = deque(pairs)
    loading: set[Future[LoadedPair | Outcome]] = set()
    waiting: list[LoadedPair] = []
    while unread or loading or waiting:
        while unread and len(loading) + len(waiting) < most_ahead:
            loading.add(loaders.submit(_load, work, unread.popleft()))
        ready = {future for future in loading if future.done()}
        loading -= ready
        for outcome in (future.result() for future in ready):
            if isinstance(outcome, LoadedPair):
                waiting.append(outcome)
            else:
                work.emit(outcome)
        chunk = next_chunk(waiting, capacity, more_to_come=bool(loading))
        if chunk:
            taken = {loaded.pair.spec.pair_id for loaded in chunk}
            waiting = [loaded for loaded in waiting if loaded.pair.spec.pair_id not in taken]
            yield chunk
        else:
            wait(loading, return_when=FIRST_COMPLETED)


def _pairs_ahead(options: StylizeOptions) -> int:
    """How many pairs may wait in memory for the device; a pastiche has at most size_px squared pixels."""
    return max(2, PIXELS_AHEAD // options.size_px**2)


def _pairs_behind(options: StylizeOptions, job: Job) -> int:
    """How many may wait to be written, each with the frames of its timeline."""
    frames = 0 if job.timeline == "none" else FRAMES * min(EDGE_PX, options.size_px) ** 2
    return max(2, PIXELS_AHEAD // (options.bit_depth // 8 * options.size_px**2 + frames))


def _load(work: _Work, pair: PlannedPair) -> LoadedPair | Outcome:
    began = Moment.now()
    try:
        return load_pair(pair, work.job.picture_limits)
    except Exception as error:  # noqa: BLE001  # the row boundary: this pair says why, the others go on
        return _failed(work, pair, error, began)


def _finish(work: _Work, loaded: LoadedPair, result: Stylized | Exception, style: StyleInputs, began: Moment) -> None:
    if isinstance(result, Exception):
        work.emit(_failed(work, loaded.pair, result, began))
        return
    try:
        outcome: Outcome = write_pair(result, style, work.job, work.device)
    except Exception as error:  # noqa: BLE001  # as in `_load`
        outcome = _failed(work, loaded.pair, error, began)
    work.emit(outcome)


def _failed(work: _Work, pair: PlannedPair, error: Exception, began: Moment) -> AttemptRecord | LeftPending:
    return keep_failure(pair, work.job, error, device=work.device, began=began)
