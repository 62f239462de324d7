"""Schedule a run's batches: each idle worker gets the next batch, of the style that it has cached if there is one.

One thread hands out batches with `next_batch`; other threads, such as a Prefect task per batch, carry them out with
`run_batch`; `give_back` returns the worker.
"""

import dataclasses
import logging
import threading
from dataclasses import dataclass, field

from flows.errors import CredentialsExpired, DeviceUnusable, PoolStopped, ResultsNotKept, StorageError, kinds_of
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import Batch
from flows.run.batch_queue import BatchQueue, style_of
from flows.run.dispatch import Patience, run_batch
from flows.run.prepare import PreparedRun
from flows.runners import Pool, Worker
from flows.worker.batch import LOADERS, WRITERS
from flows.worker.messages import ChunkStarted, LeftPending, Message, OnWorkerMessage, StepTaken
from nst_core.options.stylize_options import BY_SIZE_ABOVE_PX

logger = logging.getLogger(__name__)

MOST_LOST = LOADERS + WRITERS
"""The number of results in a row, per worker, that may be lost before the run is stopped. A single interruption of the
storage can affect as many at once: all pairs that a worker is loading and writing."""


STORAGE_KINDS = frozenset(error.kind for error in kinds_of(StorageError))
"""The kinds of all errors of storage."""


@dataclass
class Tally:
    """The outcomes of a batch's pairs, counted."""

    pairs: int
    succeeded: int = 0
    failed: int = 0

    @property
    def pending(self) -> int:
        """The number of pairs that have no outcome."""
        return self.pairs - self.succeeded - self.failed

    def __str__(self) -> str:
        left = f", {self.pending} left pending" if self.pending else ""
        return f"{self.succeeded} succeeded, {self.failed} failed{left}"


class _StorageCheck:
    """Ends a run whose results cannot be stored, because computing its other pairs would be in vain.

    Counts the pairs in a row, over all workers, whose result was lost; a stored result starts the count again.

    Args:
        most_lost: the number of results in a row that may be lost.
    """

    def __init__(self, most_lost: int) -> None:
        self._most_lost = most_lost
        self._lost = 0
        self._computed: set[str] = set()
        self._lock = threading.Lock()  # each worker's messages arrive on a thread of its own

    def __call__(self, message: Message) -> None:
        """Take a worker's message into account.

        Raises:
            CredentialsExpired: if that is why a pair was left pending.
            ResultsNotKept: if more results in a row were lost than allowed.
        """
        if isinstance(message, LeftPending) and message.kind == CredentialsExpired.kind:
            raise CredentialsExpired(message.error)
        with self._lock:
            before, lost = self._lost, self._lost_after(message)
        if isinstance(message, LeftPending | AttemptRecord) and before < lost > self._most_lost:
            raise ResultsNotKept(
                f"the run was stopped, as the results of {lost} pairs in a row could not be written; the last one: "
                f"{message.error}. Correct this, then run the same command again to continue"
            )

    def _lost_after(self, message: Message) -> int:
        if isinstance(message, ChunkStarted):
            self._computed.update(message.pair_ids)
        elif isinstance(message, PairRecord):
            self._lost = 0
        elif isinstance(message, LeftPending) or self._was_not_written(message):
            self._lost += 1
        if isinstance(message, PairRecord | LeftPending | AttemptRecord):
            self._computed.discard(message.pair_id)
        return self._lost

    def _was_not_written(self, message: StepTaken | AttemptRecord) -> bool:
        """Return whether a pair was computed, but only the small record of the attempt could be written."""
        if not isinstance(message, AttemptRecord) or message.error_kind not in STORAGE_KINDS:
            return False
        return message.pair_id in self._computed  # otherwise it was an input that could not be read


@dataclass
class BatchScheduler:
    """Hands a run's batches to its workers.

    Attributes:
        run: the planned run.
        pool: the pool of its workers.
        on_message: receives every worker's messages, with the worker's name.
    """

    run: PreparedRun
    pool: Pool
    on_message: OnWorkerMessage
    _assigned: dict[str, tuple[Batch, Worker]] = field(default_factory=dict)
    _error: BaseException | None = None

    def __post_init__(self) -> None:
        self._waiting = BatchQueue(self.run.plan.batches)
        self._storage_check = _StorageCheck(MOST_LOST * len(self.run.means.devices))

    def next_batch(self) -> str | None:
        """Wait for an idle worker, assign it the next batch and return the batch's name.

        Returns:
            None if no batch is left or the pool was stopped.

        Raises:
            ClusterError: if the cluster had no worker for too long.
        """
        if not self._waiting:
            return None
        try:
            worker = self.pool.take()
        except PoolStopped:
            return None
        batch = self._waiting.take(worker.style, self.pool.styles())
        worker.style = style_of(batch)
        self._assigned[batch.name] = batch, worker
        return batch.name

    def run_batch(self, name: str) -> Tally:
        """Do the pairs of a batch on its assigned worker; a pair that fails does not stop the others.

        If the worker's device cannot be used, another worker does the remaining pairs, as soon as it is idle.

        Raises:
            CredentialsExpired, ResultsNotKept, WeightsError, ClusterError: if every other pair would fail too; all
                workers are stopped.
            DeviceUnusable: if the device of the last worker cannot be used.
        """
        tally = Tally(len(self._assigned[name][0].pairs))
        try:
            self._run_batch(name, tally)
        except PoolStopped:  # the run is ending, which is reported elsewhere
            logger.debug("%s: interrupted", name)
        except Exception as error:
            self._error = self._error or error
            self.pool.stop()
            raise
        return tally

    def _run_batch(self, name: str, tally: Tally) -> None:
        batch, worker = self._assigned[name]
        left = {pair.spec.pair_id: pair for pair in batch.pairs}

        def on_message(message: Message) -> None:
            self.on_message(worker.name, message)
            if not isinstance(message, ChunkStarted | StepTaken):
                left.pop(message.pair_id, None)
            tally.succeeded += isinstance(message, PairRecord)
            tally.failed += isinstance(message, AttemptRecord)
            self._storage_check(message)

        try:
            run_batch(batch, self.run.job, worker, on_message, self._patience_with(batch))
        except DeviceUnusable as error:
            if not self.pool.strike_off(worker, str(error)):
                raise
            logger.warning("the run goes on without %s: %s", worker.name, error)
        else:
            return
        other = self.pool.take()
        other.style = worker.style
        self._assigned[name] = dataclasses.replace(batch, pairs=tuple(left.values())), other
        self._run_batch(name, tally)

    def _patience_with(self, batch: Batch) -> Patience:
        """Return the time limits for a batch: large images may be silent for longer, in proportion to their pixels.

        A single evaluation of a poster, or encoding its style, may take longer than a whole pair of ordinary size.
        """
        settings, size_px = self.run.request.settings, batch.pairs[0].spec.options.size_px
        larger = max(1.0, (size_px / BY_SIZE_ABOVE_PX) ** 2)
        return Patience(settings.pair_timeout_seconds, larger * settings.stall_seconds)

    def give_back(self, name: str) -> None:
        """Return a batch's worker to the pool, however the batch ended."""
        self.pool.give_back(self._assigned.pop(name)[1])

    def raise_error(self) -> None:
        """Raise the error that stopped the workers, if one did; the failure of a single pair never does."""
        if self._error is not None:
            raise self._error
