"""The pipeline of a batch: while the device stylizes a chunk, threads load the next pairs and write finished ones."""

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
"""How many threads read and decode: enough to keep a GPU busy and to hide the latency of S3."""

WRITERS = 4
"""How many threads encode, upload and commit."""

STEP_SECONDS = 1.0
"""The least time between two `StepTaken` messages."""

PIXELS_AHEAD = 128_000_000
"""The most pixels of loaded pairs that wait for the device, and the most of finished pairs that wait to be written.

Each of the two is some 400 MB at 3 bytes per pixel, and a third more with alpha. Half as many 16-bit pixels wait to
be written."""


@dataclass(frozen=True)
class _Work:
    """What all stages of one batch share."""

    job: Job
    device: str
    emit: Emit


def stylize_pairs(emit: Emit, pairs: Sequence[PlannedPair], job: Job, device: str) -> None:
    """Stylize and commit pairs with the same style and options; every pair's outcome is emitted before this returns.

    Args:
        emit: called by several threads with a message for every chunk that starts and every pair that ends.
        pairs: the pairs of the batch.
        job: what the pairs of the run share.
        device: the device, as torch names it.

    Raises:
        WeightsError, HardwareUnknown: if the run cannot go on; no pair is at fault.
        DeviceUnusable: if the device cannot be used, before any pair has started; no pair is at fault.
        DeviceLost: if the device failed; pairs that were computed by then have their outcome, the others have none.
    """
    if device.startswith("cuda"):
        decoder_pool.side_by_side(LOADERS)
    decoder_pool.get_ready()  # decoders start while this process loads the engine
    with storage.guarded(job.output, job.writable):
        _stylize_pairs(_Work(job, device, emit), pairs)


def _stylize_pairs(work: _Work, pairs: Sequence[PlannedPair]) -> None:
    job, first = work.job, pairs[0].spec
    stylizer = _stylizer(work, pairs)
    began = Moment.now()
    try:
        style = read_styles(pairs[0], job.picture_limits)
    except Exception as error:  # noqa: BLE001  # no pair can be made without its style, so each one fails
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
            loaders.shutdown(wait=False, cancel_futures=True)  # no further pair can be computed
            work.emit(DeviceWaits())  # finished pairs are still being written
            raise
        writes.end()


class _Writes:
    """A bounded queue of results to write: the device waits where storage is slower than it is.

    Args:
        writers: the threads that write.
        most: how many results may wait to be written.
        emit: receives a message when the device starts and stops waiting.
    """

    def __init__(self, writers: ThreadPoolExecutor, most: int, emit: Emit) -> None:
        self._writers, self._most, self._emit = writers, most, emit
        self._pending: deque[Future[None]] = deque()

    def add(self, write: Callable[[], None]) -> None:
        """Queue a write; block while too many are pending."""
        self._pending.append(self._writers.submit(write))
        if len(self._pending) > self._most:
            self._emit(DeviceWaits())
            while len(self._pending) > self._most:
                self._pending.popleft().result()
            self._emit(DeviceGoesOn())

    def end(self) -> None:
        """Block until every write is done."""
        for write in self._pending:
            write.result()


@dataclass(frozen=True)
class _Stylizer:
    """The functions of the engine, or of the stub in its place.

    Attributes:
        capacity: returns how many pairs of a size make a full chunk.
        stylize: yields each pair of a chunk with its result or its error.
    """

    capacity: Callable[[Size], int]
    stylize: Callable[[Sequence[LoadedPair], StyleInputs], Iterator[tuple[LoadedPair, Stylized | Exception]]]


def _stylizer(work: _Work, pairs: Sequence[PlannedPair]) -> _Stylizer:
    if work.job.stub is not None:
        return _Stylizer(lambda _size: 1, lambda chunk, style: make_up_chunk(chunk, style.first, work.job))
    # Imported here because they load torch, which takes seconds and which the stub does not need.
    try:
        from flows.worker.capacity import Capacity, most_extra
        from flows.worker.engine import backbone_of
        from flows.worker.stylizing import stylize_chunk
    except (ImportError, OSError) as error:
        raise HardwareUnknown(f"torch cannot be started: {error}; install deploy/requirements.lock again") from error

    capacity = Capacity(pairs[0].spec.options, backbone_of(work.job, work.device), most_extra(pairs))

    def stylize(chunk: Sequence[LoadedPair], style: StyleInputs) -> Iterator[tuple[LoadedPair, Stylized | Exception]]:
        on_step = _throttled(chunk, work.emit)
        return stylize_chunk(chunk, style, work.job, work.device, capacity, on_step)

    return _Stylizer(capacity, stylize)


def _throttled(chunk: Sequence[LoadedPair], emit: Emit) -> "OnStep":
    """Return an `on_step` callback that emits at most one `StepTaken` message in `STEP_SECONDS`."""
    last = time.monotonic()

    def on_step(step: "StepReport") -> None:
        nonlocal last
        if time.monotonic() - last < STEP_SECONDS:
            return
        last = time.monotonic()
        # When a failed chunk is retried in halves, `step.pair` counts within the half, so the pair named may be wrong.
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
    """Yield chunks for the device; while one is being stylized, the loaders read and decode further pairs.

    A pair that cannot be loaded is in no chunk: its outcome is emitted here.
    """
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
    """Return how many loaded pairs may wait in memory; a pastiche has at most `size_px` squared pixels."""
    return max(2, PIXELS_AHEAD // options.size_px**2)


def _pairs_behind(options: StylizeOptions, job: Job) -> int:
    """Return how many finished pairs may wait to be written, counting the frames of their timelines."""
    frames = 0 if job.timeline == "none" else FRAMES * min(EDGE_PX, options.size_px) ** 2
    return max(2, PIXELS_AHEAD // (options.bit_depth // 8 * options.size_px**2 + frames))


def _load(work: _Work, pair: PlannedPair) -> LoadedPair | Outcome:
    began = Moment.now()
    try:
        return load_pair(pair, work.job.picture_limits)
    except Exception as error:  # noqa: BLE001  # the row boundary: this pair fails with its reason, the others go on
        return _failed(work, pair, error, began)


def _finish(work: _Work, loaded: LoadedPair, result: Stylized | Exception, style: StyleInputs, began: Moment) -> None:
    if isinstance(result, Exception):
        work.emit(_failed(work, loaded.pair, result, began))
        return
    try:
        outcome: Outcome = write_pair(result, style, work.job, work.device)
    except Exception as error:  # noqa: BLE001  # the row boundary, as in `_load`
        outcome = _failed(work, loaded.pair, error, began)
    work.emit(outcome)


def _failed(work: _Work, pair: PlannedPair, error: Exception, began: Moment) -> AttemptRecord | LeftPending:
    return keep_failure(pair, work.job, error, device=work.device, began=began)
