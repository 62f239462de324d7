"""Prefect tasks: thin wrappers over plain functions. One task run per batch; per-pair truth is in our own records."""

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import stub
from flows.errors import ClusterError, CredentialsExpired, PoolStopped
from flows.records import AttemptRecord, Batch, PairRecord, PlannedPair
from flows.run.dispatch import Patience, carry_out
from flows.runners.runner import Pool, Worker
from flows.watching.listeners import Announcer, announcer
from flows.worker import ChunkStarted, Job, LeftPending, Message, StepTaken
from nst_core.errors import WeightsError

logger = logging.getLogger(__name__)


class Counter:
    """Numbers the finished pairs of a run, over all its threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def next(self) -> int:
        """1, 2, 3, ..."""
        with self._lock:
            return next(self._numbers)


@task(name="stylize-batch", task_run_name="{batch.name}", cache_policy=NO_CACHE, persist_result=False)
def stylize_batch(
    batch: Batch, job: Job, worker: Worker, pool: Pool[Any], counter: Counter, patience: Patience
) -> dict[str, int]:
    """Stylize the pairs of a batch on one device; a pair that fails does not stop the others.

    Raises:
        CredentialsExpired, WeightsError, ClusterError: which would fail every other pair too, so that all workers are
            stopped.
    """
    tally = {"succeeded": 0, "failed": 0}
    try:
        carry_out(batch, job, worker, _progress(batch, counter, tally, worker.name, announcer()), patience)
    except PoolStopped:  # the flow is ending and says so; pairs without an outcome stay pending
        logger.debug("%s: interrupted", batch.name)
    except (CredentialsExpired, WeightsError, ClusterError):
        pool.stop()
        raise
    return tally


def _progress(
    batch: Batch, counter: Counter, tally: dict[str, int], worker: str, listeners: Announcer
) -> Callable[[Message], None]:
    pairs = {pair.spec.pair_id: pair for pair in batch.pairs}

    def on_message(message: Message) -> None:
        listeners.on_message(worker, message)
        if isinstance(message, ChunkStarted):
            logger.debug("process %d stylizes %s", message.process_id, ", ".join(message.pair_ids))
            return
        if isinstance(message, StepTaken):
            logger.debug("%s: step %d, loss %.4g", message.pair_id, message.step, message.total_loss)
            return
        pair = pairs[message.pair_id]
        if isinstance(message, LeftPending):
            logger.error("row %d %s: left pending: %s", pair.spec.row, pair.spec.pair_id, message.error)
            if message.kind == CredentialsExpired.kind:
                raise CredentialsExpired(message.error)
            return
        tally["succeeded" if isinstance(message, PairRecord) else "failed"] += 1
        _log_progress(message, pair, counter)

    return on_message


def _log_progress(result: PairRecord | AttemptRecord, pair: PlannedPair, counter: Counter) -> None:
    place = f"[{counter.next():>{len(str(counter.total))}}/{counter.total}] row {pair.spec.row} {pair.spec.pair_id}"
    if isinstance(result, AttemptRecord):
        logger.error("%s: failed (%s) %s", place, result.error_kind, result.error)
        return
    logger.info(
        "%s: loss %.4g -> %.4g, %s after %d steps, %.1f s",
        place,
        result.initial_total_loss,
        result.total_loss,
        result.stop_reason,
        result.steps,
        result.seconds,
    )
    for note in result.notes:
        if note == stub.WARNING:  # of every pair, and the run has said it
            continue
        logger.warning("row %d %s: %s", pair.spec.row, pair.spec.pair_id, note)
