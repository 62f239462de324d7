"""The workers of a run at their batches: each is given one of the style that it has warm, as soon as it is idle.

One thread hands the batches out, others carry them out: `next_batch`, `run_batch` and `give_back` are for whoever
starts those, such as a task of Prefect's per batch.
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
    """What became of a batch's pairs."""

    pairs: int
    succeeded: int = 0
    failed: int = 0

    @property
    def pending(self) -> int:
        """Pairs that have no outcome."""
        return self.pairs - self.succeeded - self.failed

    def __str__(self) -> str:
        left = f", {self.pending} left pending" if self.pending else ""
        return f"{self.succeeded} succeeded, {self.failed} failed{left}"


@dataclass
class BatchScheduler:
    """A run's workers, and the batches that wait for them or are under way."""

    run: PreparedRun
    pool: Pool
    on_message: OnWorkerMessage
    _at: dict[str, tuple[Batch, Worker]] = field(default_factory=dict)
    _error: BaseException | None = None

    def __post_init__(self) -> None:
        self._waiting = BatchQueue(self.run.plan.batches)

    def next_batch(self) -> str | None:
        """The name of the batch to be carried out next, once a worker is idle; None if there is none, or all stopped.

        Raises:
            ClusterError: if there was no worker for too long.
        """
        if not self._waiting:
            return None
        try:
            worker = self.pool.take()
        except PoolStopped:
            return None
        batch = self._waiting.take(worker.style, self.pool.styles())
        worker.style = style_of(batch)
        self._at[batch.name] = batch, worker
        return batch.name

    def run_batch(self, name: str) -> Tally:
        """Do the pairs of a batch on the worker that was taken for it; a pair that fails does not stop the others.

        Where the worker's device cannot be used, another worker does them, once it is idle.

        Raises:
            CredentialsExpired, WeightsError, ClusterError: which would fail every other pair too, so that all workers
                are stopped.
            DeviceUnusable: of the last worker.
        """
        tally = Tally(len(self._at[name][0].pairs))
        try:
            self._run_batch(name, tally)
        except PoolStopped:  # the run is ending and says so
            logger.debug("%s: interrupted", name)
        except Exception as error:
            self._error = self._error or error
            self.pool.stop()
            raise
        return tally

    def _run_batch(self, name: str, tally: Tally) -> None:
        batch, worker = self._at[name]
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
        self._at[name] = dataclasses.replace(batch, pairs=tuple(left.values())), other
        self._run_batch(name, tally)

    def _patience_with(self, batch: Batch) -> Patience:
        """Of a poster a single evaluation, or the encoding of its style, may take longer than all of another pair."""
        settings, size_px = self.run.request.settings, batch.pairs[0].spec.options.size_px
        larger = max(1.0, (size_px / BY_SIZE_ABOVE_PX) ** 2)
        return Patience(settings.pair_timeout_seconds, larger * settings.stall_seconds)

    def give_back(self, name: str) -> None:
        """Let other batches have the worker of this one, however it ended."""
        self.pool.give_back(self._at.pop(name)[1])

    def raise_error(self) -> None:
        """Raises the error that stopped the workers, if one did; errors of single pairs never do."""
        if self._error is not None:
            raise self._error
