"""The flow: read a manifest, plan, fan the batches out over the devices, and build the results table.

`nst run`, schedules and deployments all start this one flow.
"""

import logging
from contextlib import suppress
from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture, wait
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import storage, stub
from flows.environment import show_own_lines
from flows.errors import PoolStopped
from flows.output import lease
from flows.prefect_layer.artifacts import UserInterface
from flows.prefect_layer.embedded_server import kept_running
from flows.prefect_layer.tasks import Counter, stylize_batch
from flows.records import RunSummary
from flows.report.run_page import write_report
from flows.run.batch_queue import BatchQueue, style_of
from flows.run.dispatch import Patience
from flows.run.finish import check_credentials, finish_run
from flows.run.prepare import PreparedRun, places_of, prepare_run
from flows.run.request import Asked, resolve
from flows.runners.choose import runner_of
from flows.runners.runner import Pool, Runner, Worker
from flows.settings import RunSettings, Selection
from flows.watching.asked_for import operators_listeners
from flows.watching.listeners import RunStarted, announcer, watched_by
from flows.wording import redacted
from nst_core.options import StylizeOptions

logger = logging.getLogger(__name__)

MOST_ROWS_REPORTED = 2000
"""Beyond that, the pictures of the page take longer than one would wait at the end of a run."""


def _run_name() -> str:
    manifest = flow_run.parameters.get("manifest") or flow_run.parameters.get("output") or ""
    return f"stylize {storage.name_of(storage.absolute(str(manifest)))}"


@flow(name="bulk-stylize", flow_run_name=_run_name, persist_result=False, retries=0)
def bulk_stylize(
    output: str,
    manifest: str | None = None,
    options: StylizeOptions | None = None,
    settings: RunSettings | None = None,
    selection: Selection | None = None,
    overrides: dict[str, Any] | None = None,
) -> State[dict[str, object]]:
    """Stylize the pairs of a manifest that are not done yet.

    Args:
        output: local folder or `s3://` prefix for images, records and tables.
        manifest: CSV of content/style pairs, local or on S3; None takes the manifest and options of the output's
            latest run, as a retry does.
        options: for rows that do not say otherwise; without a manifest, those of the latest run.
        settings: backbone, device, precision; without a manifest, the backbone and precision of the latest run.
        selection: which rows; all of them by default.
        overrides: without a manifest, options that go on top of those of every row that is done again.

    Returns:
        A final state whose data is the run's summary: Completed, `CompletedWithFailures` where rows failed or were
        rejected, or Failed (`Incomplete`) where selected rows are still pending.
    """
    show_own_lines()
    asked = Asked(output, manifest, options, settings, selection or Selection(), overrides or {})
    # Whoever starts a deployment acts with its rights, not with their own: what is not listed is closed.
    request = resolve(asked, strict=deployment.id is not None)
    waits = request.settings.wait_for_output_seconds
    with kept_running(), lease.held(request.output, waits), runner_of(request.settings) as runner:
        run = prepare_run(request, runner.means)
        interface = UserInterface()
        try:
            with watched_by(interface), operators_listeners():
                _announce(run)
                _carry_out(run, runner)
        except BaseException:
            finish_run(run)  # the table then shows what is done and what is pending
            raise
        finished = finish_run(run)
        page = _write_report(finished.summary)
        interface.finish(finished.summary, finished.rows, page)
    summary = finished.summary
    check_credentials(run, summary)
    return _final_state(run, summary)


def _write_report(summary: RunSummary) -> str | None:
    """The address of the run's page, if there is one; whatever goes wrong with it, the run itself is done."""
    if summary.rows > MOST_ROWS_REPORTED:
        logger.info("no report.html of %d rows is made by itself: nst report %s", summary.rows, summary.output)
        return None
    try:
        return write_report(summary.output)
    except Exception as error:  # noqa: BLE001  # it can be made again at any time, by `nst report`
        logger.warning("report.html could not be written, try `nst report`: %s", redacted(str(error)))
        return None


def _announce(run: PreparedRun) -> None:
    for row in run.request.manifest.rejected:
        logger.error("row %d: rejected: %s", row.row, row.reason())
    plan = run.plan
    logger.info(
        "run %s: %d pairs to do in %d batches on %s (%s, %s); %d done before, %d rows rejected",
        run.record.run_id,
        len(plan.todo),
        len(plan.batches),
        ", ".join(run.means.names),
        run.record.backbone,
        run.record.precision,
        len(plan.done),
        len(run.request.manifest.rejected),
    )
    announcer().on_start(
        RunStarted(
            run_id=run.record.run_id,
            todo=plan.todo,
            workers=run.means.names,
            done_before=len(plan.done),
            rejected=len(run.request.manifest.rejected),
            backbone=run.record.backbone,
            precision=run.record.precision,
            output=run.job.output,
        )
    )
    if run.job.stub is not None:
        logger.warning(stub.WARNING)
    elif plan.todo and set(run.means.devices) == {"cpu"}:
        logger.warning("running on the CPU: the same pictures as on a GPU, but slower")


def _carry_out(run: PreparedRun, runner: Runner) -> None:
    """Run every batch as a task, each as soon as a worker is idle.

    Raises:
        The error that stopped a task, if one did: errors of single pairs never do.
    """
    if not run.plan.batches:
        return
    counter = Counter(len(run.plan.todo))
    patience = Patience(run.request.settings.pair_timeout_seconds, run.request.settings.stall_seconds)
    shared = {"job": run.job, "counter": counter, "patience": patience}
    waiting = BatchQueue(run.plan.batches)
    runner.warn_of(places_of(run))
    threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=len(run.means.devices))
    with runner.pool(len(run.plan.batches)) as pool, threads as tasks:
        futures: list[PrefectConcurrentFuture[dict[str, int]]] = []
        try:
            with suppress(PoolStopped):  # by a task, whose error is raised below
                while waiting:
                    worker = pool.take()
                    batch = waiting.take(worker.style, pool.styles())
                    worker.style = style_of(batch)
                    parameters = {"batch": batch, "worker": worker, "pool": pool, **shared}
                    future = tasks.submit(stylize_batch, parameters=parameters)
                    future.add_done_callback(partial(_give_back, pool, worker))
                    futures.append(future)
            wait([*futures])
        except BaseException:
            # Ctrl-C or Prefect's TerminationSignal: the threads wait for the workers, so those go first.
            pool.stop()
            raise
    for future in futures:
        future.result()


def _give_back(pool: Pool[Any], worker: Worker, _ended: object) -> None:
    pool.give_back(worker)


def _final_state(run: PreparedRun, summary: RunSummary) -> State[dict[str, object]]:
    data = summary.model_dump(mode="json")
    message = f"{summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected"
    if summary.pending > len(run.plan.unselected):
        return Failed(name="Incomplete", message=f"{message}, {summary.pending} pending: run again", data=data)
    if summary.failed or summary.rejected:
        return Completed(name="CompletedWithFailures", message=message, data=data)
    return Completed(message=message, data=data)
