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
from flows.manifest.stdin import address_of
from flows.prefect_layer.artifacts import show_end, watch_progress
from flows.prefect_layer.defaults import take_up_defaults
from flows.prefect_layer.embedded_server import kept_running, prepare_embedded_server
from flows.prefect_layer.fan_out import fan_out
from flows.prefect_layer.plain_errors import log_errors_plainly
from flows.prefect_layer.rows_as_manifest import takes_rows
from flows.prefect_layer.tasks import counts_in_words, materialized
from flows.records.runs import RunSummary
from flows.report.at_end import MOST_ROWS, page_at_end
from flows.run.begin import BegunRun, begun_as_asked
from flows.run.finish import FinishedRun, RunIncomplete, check_credentials, finish_run, finish_stopped_run
from flows.run.request import Asked
from flows.settings import RunSettings, Selection
from flows.watching.notify_all import notify_all
from flows.wording import printable
from nst_core.options import StylizeOptions

logger = logging.getLogger(__name__)

take_up_defaults()
log_errors_plainly()
prepare_embedded_server()


def _run_name() -> str:
    manifest = flow_run.parameters.get("manifest") or flow_run.parameters.get("output") or ""
    return f"stylize {printable(storage.name_of(address_of(str(manifest))))}"


@takes_rows
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
        manifest: address of a CSV, JSON lines or Parquet of content/style pairs, local or on S3; or a DataFrame, or a
            list of dictionaries, whose relative addresses start from the current folder. None takes the manifest and
            options of the output's latest run, as a retry does.
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
    is_strict = deployment.id is not None
    with _no_tags(), kept_running(), begun_as_asked(asked, strict=is_strict) as begun:
        run = begun.run
        try:
            _run_begun(begun)
        except BaseException as error:
            if not begun.hold.is_lost:
                finish_stopped_run(run, error, begun.hold.check)
            raise
        begun.hold.check()  # or the table of whoever has taken over would be written over
        finished = _finish(begun)
    check_credentials(run, finished)
    return _final_state(finished)  # type: ignore[return-value]  # Prefect hands its data on to the caller


def _no_tags() -> TagsContext:
    """A run's tags are its own: for those of a task Prefect asks the server, which may be gone, for leave to start."""
    return TagsContext(current_tags=set())


def _run_begun(begun: BegunRun) -> None:
    with notify_all(begun.run.started, watch_progress) as on_message:
        if begun.pool is not None:
            fan_out(begun.run, begun.pool, on_message)


def _finish(begun: BegunRun) -> FinishedRun:
    """Write the tables, and then what is for eyes alone."""
    run = begun.run
    finished = materialized(run, lambda: finish_run(run, most_kept=MOST_ROWS, check_hold=begun.hold.check))
    page = page_at_end(run.job.output, run.record, run.request.manifest, finished.outcomes)
    show_end(finished.summary, finished.rows, page)
    return finished


def _final_state(finished: FinishedRun) -> State[Any]:
    summary = finished.summary
    message = counts_in_words(summary)
    if finished.left:
        message = f"{message}, {summary.pending} pending: run again"
        return Failed(name="Incomplete", message=message, data=RunIncomplete(message, summary))
    if summary.failed or summary.rejected:
        return Completed(name="CompletedWithFailures", message=message, data=summary)
    return Completed(message=message, data=summary)
