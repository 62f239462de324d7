"""Prefect tasks: thin wrappers over plain functions. One task run per batch; per-pair truth is in our own records."""

import itertools
import logging
import threading
import time

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.errors import StorageError
from flows.ledger import Ledger
from flows.records import AttemptRecord, Batch, PairRecord, PlannedPair, failed_attempt, utc_now
from flows.worker import Job, stylize_pair
from flows.worker_pool import DeviceWorker, PoolStopped, WorkerDied, WorkerPool

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
def stylize_batch(batch: Batch, job: Job, pool: WorkerPool, counter: Counter) -> dict[str, int]:
    """Stylize the pairs of a batch on one device, one after another; a pair that fails does not stop the others."""
    tally = {"succeeded": 0, "failed": 0}
    with pool.borrow() as worker:
        for pair in batch.pairs:
            try:
                result = _stylize_in(worker, pair, job)
            except PoolStopped:  # the flow is ending and says so; this pair and the rest stay pending
                break
            except StorageError as error:  # not even its failure could be kept: it stays pending, the others go on
                logger.error("row %d %s: left pending: %s", pair.spec.row, pair.spec.pair_id, error)  # noqa: TRY400
                continue
            tally["succeeded" if isinstance(result, PairRecord) else "failed"] += 1
            _log_progress(result, pair, counter)
    return tally


def _stylize_in(worker: DeviceWorker, pair: PlannedPair, job: Job) -> PairRecord | AttemptRecord:
    began, started_at = time.monotonic(), utc_now()
    try:
        return worker.run(stylize_pair, pair, job, worker.device)
    except WorkerDied as error:
        seconds = time.monotonic() - began
        attempt = failed_attempt(pair, job.run_id, error, device=worker.device, seconds=seconds, started_at=started_at)
        Ledger(job.output).add_attempt(attempt)
        return attempt


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
        logger.warning("row %d %s: %s", pair.spec.row, pair.spec.pair_id, note)
