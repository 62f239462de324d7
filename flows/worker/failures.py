"""The row boundary: any error of a pair becomes the record of a failed attempt, and the other pairs go on."""

import logging
import traceback

from flows.errors import StorageError
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord, failed_attempt
from flows.records.plans import PlannedPair
from flows.records.timestamps import Moment
from flows.wording import redacted
from flows.worker.job import Job
from flows.worker.messages import LeftPending
from nst_core.errors import NstError, OutOfMemory

logger = logging.getLogger(__name__)


def keep_failure(
    pair: PlannedPair, job: Job, error: Exception, *, device: str, began: Moment
) -> AttemptRecord | LeftPending:
    """Write the record of a failed attempt and return it; return `LeftPending` if it could not be written.

    Args:
        pair: the pair that failed.
        job: what the pairs of the run share.
        error: why it failed.
        device: where it was attempted.
        began: when the attempt began.
    """
    seconds = began.seconds_since()
    if isinstance(error, MemoryError):
        error = OutOfMemory(f"{pair.spec.content}: too little memory to stylize or write it")
    if not isinstance(error, NstError):
        trace = redacted("".join(traceback.format_exception(error)))
        logger.error("row %d (%s) failed unexpectedly\n%s", pair.spec.row, pair.spec.pair_id, trace)
    attempt = failed_attempt(pair, job.run_id, error, device=device, seconds=seconds, started_at=began.utc)
    attempt = attempt.model_copy(update={"error": redacted(attempt.error)})
    try:
        Ledger(job.output).add_attempt(attempt)
    except StorageError as problem:
        return LeftPending(pair.spec.pair_id, f"{problem} (while keeping this failure: {attempt.error})", problem.kind)
    return attempt
