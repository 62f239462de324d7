"""Prefect's tasks: a run per batch, and one for the table. Thin; what becomes of each pair is in our own records."""

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
_NO_KEY = frozenset("\n\r\t\0 #?&%\"'<>[]{}|\\^`")
"""What Prefect takes in no asset's key."""
LONGEST_KEY = 512


def batch_task(scheduler: BatchScheduler) -> Task[[str], State[None]]:
    """The task that does one batch: its parameter is the batch's name, its state says how many pairs succeeded."""

    @task(name="stylize-batch", task_run_name="{batch}", cache_policy=NO_CACHE, persist_result=False)
    def stylize_batch(batch: str) -> State[None]:
        tally = scheduler.run_batch(batch)
        if tally.pending:
            return Crashed(name=INCOMPLETE, message=str(tally))  # no failure, of which Prefect would log an error
        return Completed(name="CompletedWithFailures" if tally.failed else "Completed", message=str(tally))

    return stylize_batch


def materialized(run: PreparedRun, finish: Callable[[], FinishedRun]) -> FinishedRun:
    """Finish a run by a task that shows `results.parquet` as an asset made from the manifest.

    Addresses that cannot be keys of assets are finished without one.
    """
    table, manifest = map(asset_key, (storage.join(run.job.output, layout.RESULTS_PARQUET), run.request.manifest.uri))
    if table is None:
        return finish()
    finished: list[FinishedRun] = []  # Prefect would keep it as the task's result, and look through every row of it

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
    """An address as Prefect names assets; None for one that has letters which it does not take.

    >>> asset_key("/data/out/results.parquet"), asset_key("s3://bucket/pairs.csv"), asset_key("/my data/pairs.csv")
    ('file:///data/out/results.parquet', 's3://bucket/pairs.csv', None)
    """
    key = address if storage.is_s3(address) else f"file://{address}"
    return None if len(key) > LONGEST_KEY or _NO_KEY & set(key) else key


def counts_in_words(summary: RunSummary) -> str:
    """The end of a run in one line."""
    return f"{summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected"
