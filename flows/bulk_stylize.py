"""The flow: read a manifest, plan, fan the batches out over the devices, and build the results table.

`nst run`, schedules and deployments all start this one flow.
"""

import logging
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed

from flows import storage
from flows.environment import show_own_lines
from flows.output import lease
from flows.prefect_layer.artifacts import show_end, watch_progress
from flows.prefect_layer.defaults import take_up_defaults
from flows.prefect_layer.embedded_server import kept_running, prepare_embedded_server
from flows.prefect_layer.fan_out import fan_out
from flows.prefect_layer.tasks import counts_in_words, materialized
from flows.records import RunSummary
from flows.report.gather import run_of
from flows.report.run_page import write_page
from flows.run.finish import FinishedRun, RunIncomplete, check_credentials, finish_run
from flows.run.prepare import PreparedRun, prepare_run
from flows.run.request import Asked, resolve
from flows.runners import Runner, runner_of
from flows.settings import RunSettings, Selection
from flows.watching.asked_for import operators_watchers
from flows.watching.listeners import RunStarted, told, watchers_here
from flows.watching.log import watch_log
from flows.wording import printable, redacted
from nst_core.options import StylizeOptions

logger = logging.getLogger(__name__)

MOST_ROWS_REPORTED = 2000
"""Beyond that, the pictures of the page take longer than one would wait at the end of a run."""

take_up_defaults()
prepare_embedded_server()


def _run_name() -> str:
    manifest = flow_run.parameters.get("manifest") or flow_run.parameters.get("output") or ""
    return f"stylize {printable(storage.name_of(storage.absolute(str(manifest))))}"


@flow(name="bulk-stylize", flow_run_name=_run_name, persist_result=False, retries=0)
def bulk_stylize(
    output: str,
    manifest: str | None = None,
    options: StylizeOptions | None = None,
    settings: RunSettings | None = None,
    selection: Selection | None = None,
    overrides: dict[str, Any] | None = None,
) -> RunSummary:
    """Stylize the pairs of a manifest that are not done yet.

    The run's state is Completed, `CompletedWithFailures` where rows failed or were rejected, or Failed (`Incomplete`)
    where selected rows are still pending.

    Args:
        output: local folder or `s3://` prefix for images, records and tables.
        manifest: CSV of content/style pairs, local or on S3; None takes the manifest and options of the output's
            latest run, as a retry does.
        options: for rows that do not say otherwise; without a manifest, those of the latest run.
        settings: backbone, device, precision; without a manifest, the backbone and precision of the latest run.
        selection: which rows; all of them by default.
        overrides: without a manifest, options that go on top of those of every row that is done again.

    Returns:
        The run in numbers; what became of each row is in the results table.

    Raises:
        RunIncomplete: with the same numbers, where selected rows are still pending.
        NstError: where nothing could be done; its class says why.
    """
    show_own_lines()
    asked = Asked(output, manifest, options, settings, selection or Selection(), overrides or {})
    # Whoever starts a deployment acts with its rights, not with their own: what is not listed is closed.
    request = resolve(asked, strict=deployment.id is not None)
    waits = request.settings.wait_for_output_seconds
    with _no_tags(), kept_running(), lease.held(request.output, waits), runner_of(request.settings) as runner:
        run = prepare_run(request, runner.means)
        try:
            _carry_out(run, runner)
        except BaseException:
            finish_run(run)  # the table then shows what is done and what is pending
            raise
        finished = _finish(run)
    check_credentials(run, finished)
    return _final_state(finished)  # type: ignore[return-value]  # Prefect hands its data on to the caller


def _no_tags() -> TagsContext:
    """A run's tags are its own: for those of a task Prefect asks the server, which may be gone, for leave to start."""
    return TagsContext(current_tags=set())


def _carry_out(run: PreparedRun, runner: Runner) -> None:
    with operators_watchers() as theirs:
        watchers = (watch_log, watch_progress, *theirs, *watchers_here())
        with told(_start_of(run), watchers) as hear:
            fan_out(run, runner, hear)


def _start_of(run: PreparedRun) -> RunStarted:
    return RunStarted(
        run_id=run.record.run_id,
        output=run.job.output,
        todo=run.plan.todo,
        done_before=len(run.plan.done),
        rejected=run.request.manifest.rejected,
        workers=run.means.names,
        devices=run.means.devices,
        backbone=run.record.backbone,
        precision=run.record.precision,
    )


def _finish(run: PreparedRun) -> FinishedRun:
    """Write the tables, and then what is for eyes alone."""
    finished = materialized(run, lambda: finish_run(run, most_kept=MOST_ROWS_REPORTED))
    page = _write_report(run, finished)
    show_end(finished.summary, finished.rows, page)
    return finished


def _write_report(run: PreparedRun, finished: FinishedRun) -> str | None:
    """The address of the run's page, if there is one; whatever goes wrong with it, the run itself is done."""
    output, rows = run.job.output, finished.summary.rows
    if rows > MOST_ROWS_REPORTED:
        logger.info("no report.html of %d rows is made by itself: nst report %s", rows, printable(output))
        return None
    try:
        return write_page(run_of(output, run.record, run.request.manifest, finished.outcomes))
    except Exception as error:  # noqa: BLE001  # it can be made again at any time, by `nst report`
        logger.warning("report.html could not be written, try `nst report`: %s", redacted(str(error)))
        return None


def _final_state(finished: FinishedRun) -> State[Any]:
    summary = finished.summary
    message = counts_in_words(summary)
    if finished.left:
        message = f"{message}, {summary.pending} pending: run again"
        return Failed(name="Incomplete", message=message, data=RunIncomplete(message, summary))
    if summary.failed or summary.rejected:
        return Completed(name="CompletedWithFailures", message=message, data=summary)
    return Completed(message=message, data=summary)
