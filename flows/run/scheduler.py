"""Schedule a run's batches: each idle worker gets the next batch, of the style that it has cached if there is one.

One thread hands out batches with `next_batch`; other threads, such as a Prefect task per batch, carry them out with
`run_batch`; `give_back` returns the worker.
"""

import dataclasses
import logging
from dataclasses import dataclass, field

from flows.errors import CredentialsExpired, DeviceUnusable, PoolStopped
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import Batch
from flows.run.batch_queue import BatchQueue, style_of
from flows.run.dispatch import Patience, run_batch
from flows.run.prepare import PreparedRun
from flows.runners import Pool, Worker
from flows.worker.messages import ChunkStarted, LeftPending, Message, OnWorkerMessage, StepTaken
from nst_core.options.stylize_options import BY_SIZE_ABOVE_PX

logger = logging.getLogger(__name__)


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
            CredentialsExpired, WeightsError, ClusterError: if every other pair would fail too; all workers are stopped.
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
            if isinstance(message, LeftPending) and message.kind == CredentialsExpired.kind:
                raise CredentialsExpired(message.error)

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
