"""The Prefect flow that stylizes a manifest: read it, plan, fan the batches out over the devices, build the table.

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
from flows.prefect_layer.fan_out import fan_out
from flows.prefect_layer.plain_errors import log_errors_plainly
from flows.prefect_layer.rows_as_manifest import takes_rows
from flows.prefect_layer.servers.embedded_server import kept_running, prepare_embedded_server
from flows.prefect_layer.tasks import counts_in_words, materialized
from flows.records.runs import RunSummary
from flows.report.at_end import MOST_ROWS, page_at_end
from flows.run.begin import BegunRun, handed_or_begun
from flows.run.finish import FinishedRun, RunIncomplete, check_credentials, finish_run, finish_stopped_run
from flows.run.request import RunArguments
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
    manifest_sha256: str | None = None,
) -> RunSummary:
    """Stylize the pairs of a manifest that are not done yet.

    The final state is Completed; `CompletedWithFailures` if rows failed or were rejected; or Failed, with the name
    `Incomplete`, if selected rows are still pending.

    Args:
        output: the local folder or `s3://` prefix for images, records and tables.
        manifest: the address of a CSV, JSON lines or Parquet file of content/style pairs, local or on S3; or a
            DataFrame or a list of dictionaries, whose relative addresses start from the current folder. None means
            the manifest and the options of the output's latest run, as for a retry.
        options: the options of rows that set none themselves; without a manifest, the default is the latest run's.
        settings: backbone, device, precision and so on; without a manifest, the default for backbone and precision is
            the latest run's.
        selection: the rows to stylize; by default all of them.
        overrides: without a manifest, options that replace those of every row that is stylized again.
        manifest_sha256: the SHA-256 that the manifest must have; None accepts any bytes.

    Returns:
        The run's summary in numbers; the outcome of each row is in the results table.

    Raises:
        RunIncomplete: selected rows are still pending; the exception carries the same summary.
        NstError: nothing could be done; the subclass gives the reason.
    """
    show_own_lines()
    arguments = RunArguments(
        output, manifest, options, settings, selection or Selection(), overrides or {}, manifest_sha256
    )
    # Anyone who starts a deployment acts with the service's rights, not with their own, so a place that the limits file
    # does not list is refused.
    is_strict = deployment.id is not None
    with _no_tags(), kept_running(), handed_or_begun(arguments, strict=is_strict) as begun:
        run = begun.run
        try:
            _run_batches(begun)
        except BaseException as error:
            if not begun.hold.is_lost:  # otherwise the log says so already; a loss not seen yet, finish_run finds
                finish_stopped_run(run, error, begun.hold.check)
            raise
        begun.hold.check()  # a run that has taken the output over must not have its table overwritten
        finished = _finish(begun)
    check_credentials(run, finished)
    return _final_state(finished)  # type: ignore[return-value]  # Prefect returns the state's data to the caller


def _no_tags() -> TagsContext:
    """Return a context in which task runs have no tags, so that the run's tags stay on the run alone.

    Before it starts a task run with tags, Prefect asks the server for a concurrency slot, and the server may be gone.
    """
    return TagsContext(current_tags=set())


def _run_batches(begun: BegunRun) -> None:
    with notify_all(begun.run.started, watch_progress) as on_message:
        if begun.pool is not None:
            fan_out(begun.run, begun.pool, on_message)


def _finish(begun: BegunRun) -> FinishedRun:
    """Write the tables, then the report page and Prefect's artifacts, which are only for people to look at."""
    run = begun.run
    finished = materialized(run, lambda: finish_run(run, most_kept=MOST_ROWS, check_hold=begun.hold.check))
    page = page_at_end(run.job.output, run.record, run.request.manifest, finished.outcomes, check_hold=begun.hold.check)
    show_end(finished.summary, finished.rows, page)
    return finished


def _final_state(finished: FinishedRun) -> State[Any]:
    summary = finished.summary
    message = counts_in_words(summary)
    if finished.left:
        message = f"{message}; {finished.left} left without an outcome of this run: run again"
        return Failed(name="Incomplete", message=message, data=RunIncomplete(message, summary))
    if summary.failed or summary.rejected:
        return Completed(name="CompletedWithFailures", message=message, data=summary)
    return Completed(message=message, data=summary)
