"""Prefect's tasks: one task run per batch, and one for the results table.

They are thin: the outcome of each pair is in our own records, not in Prefect's database.
"""

from collections.abc import Callable

from prefect import Task, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed

from flows import storage
from flows.records import layout
from flows.records.runs import RunSummary
from flows.run.finish import FinishedRun
from flows.run.prepare import PreparedRun
from flows.run.scheduler import BatchScheduler

INCOMPLETE = "Incomplete"
"""The name of a batch's state if some of its pairs are still pending."""
_NOT_IN_KEYS = frozenset("\n\r\t\0 #?&%\"'<>[]{}|\\^`")
"""The characters that Prefect refuses in an asset's key."""
LONGEST_KEY = 512
"""The most characters that Prefect accepts in an asset's key."""


def batch_task(scheduler: BatchScheduler) -> Task[[str], State[None]]:
    """Return the task that carries out one batch.

    Its parameter is the batch's name; the message of its final state says how many pairs succeeded.
    """

    @task(name="stylize-batch", task_run_name="{batch}", cache_policy=NO_CACHE, persist_result=False)
    def stylize_batch(batch: str) -> State[None]:
        tally = scheduler.run_batch(batch)
        if tally.pending:
            return Crashed(name=INCOMPLETE, message=str(tally))  # not Failed, for which Prefect would log an error
        return Completed(name="CompletedWithFailures" if tally.failed else "Completed", message=str(tally))

    return stylize_batch


def materialized(run: PreparedRun, finish: Callable[[], FinishedRun]) -> FinishedRun:
    """Finish a run in a task that shows `results.parquet` as an asset derived from the manifest.

    If the table's address cannot be an asset's key, the run is finished without the task.

    Args:
        run: the run to finish.
        finish: writes the tables, and returns what they hold.
    """
    table, manifest = map(asset_key, (storage.join(run.job.output, layout.RESULTS_PARQUET), run.request.manifest.uri))
    if table is None:
        return finish()
    # Not returned by the task, as Prefect would keep it as the result, and inspect every row of it.
    finished: list[FinishedRun] = []

    @materialize(
        table,
        by="nst",
        name="write-results",
        asset_deps=[manifest] if manifest else [],
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def write_results() -> State[None]:
        finished.append(finish())
        return Completed(message=counts_in_words(finished[0].summary))

    write_results()
    return finished[0]


def asset_key(address: str) -> str | None:
    """Return the key of the asset at an address; None if Prefect would refuse it, for its characters or its length.

    >>> asset_key("/data/out/results.parquet"), asset_key("s3://bucket/pairs.csv"), asset_key("/my data/pairs.csv")
    ('file:///data/out/results.parquet', 's3://bucket/pairs.csv', None)
    """
    key = f"file://{address}" if storage.is_local(address) else address
    return None if len(key) > LONGEST_KEY or _NOT_IN_KEYS & set(key) else key


def counts_in_words(summary: RunSummary) -> str:
    """Return a run's outcome in one line."""
    return f"{summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected"
