"""Where a worker process comes in: only there is the engine, and with it torch, imported."""

from collections.abc import Sequence

from flows.records import PlannedPair
from flows.worker.job import Job
from flows.worker.messages import Report


def stylize_pairs(report: Report, pairs: Sequence[PlannedPair], job: Job, device: str) -> None:
    """See `flows.worker.batch.stylize_pairs`."""
    from flows.worker import batch

    batch.stylize_pairs(report, pairs, job, device)
