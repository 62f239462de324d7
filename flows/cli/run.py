"""The commands `nst run` and `nst retry`.

The flow, and Prefect with it, is imported only once there is something to run.
"""

import dataclasses
import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from flows import storage
from flows.cli.app import (
    ExitCode,
    JsonSwitch,
    Limit,
    LinesSwitch,
    ManifestArgument,
    MaxAttempts,
    Only,
    OutputArgument,
    OutputOption,
    QuietSwitch,
    output_of,
)
from flows.cli.options import options_from, settings_of, validated
from flows.cli.streams import logged_to_terminal
from flows.costs.wording import costs_in_words
from flows.environment import keep_prefect_state_in_sight
from flows.errors import ServiceError, StorageError
from flows.manifest.stdin import STANDARD_INPUT
from flows.output.ledger import Ledger
from flows.prefect_layer.client_environment import check_client_environment
from flows.prefect_layer.configured import check_prefect_home, is_part_of_a_run, is_without_server
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.readable_settings import read_settings
from flows.prefect_layer.servers.embedded_server import begin_server
from flows.prefect_layer.servers.named_server import check_named_server
from flows.records import layout
from flows.records.runs import RunRecord, RunSummary
from flows.report.at_end import MOST_ROWS, page_at_end
from flows.run.begin import BegunRun, begun, hand_over
from flows.run.finish import RunIncomplete, finish_run
from flows.run.request import RunArguments, RunRequest, check_feasible, recorded_settings, resolve
from flows.runners.hardware import ask
from flows.settings import RunSettings, Selection
from flows.watching.json_lines import json_lines
from flows.watching.listeners import watched_by
from flows.watching.notify_all import notify_all
from flows.wording import counted, printable
from nst_core.options import StylizeOptions


@options_from(options=StylizeOptions, settings=RunSettings)
def run(
    manifest: ManifestArgument,
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    output: OutputOption = None,
    only: Only = None,
    limit: Limit = None,
    max_attempts: MaxAttempts = None,
    quiet: QuietSwitch = False,
    json_lines: LinesSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Stylize the pairs of a manifest that are not done yet.

    The same command again does only what is left.
    """
    chosen = validated(StylizeOptions, options)
    address = manifest if manifest == STANDARD_INPUT else storage.absolute(manifest)
    selection = Selection(only=tuple(only or ()), limit=limit, max_attempts=max_attempts)
    arguments = RunArguments(output_of(output, address), address, chosen, settings_of(settings), selection)
    _, code = run_manifest(arguments, Shown(quiet, json_lines, as_json))
    raise typer.Exit(code)


@options_from(options=StylizeOptions, settings=RunSettings)
def retry(
    output: OutputArgument,
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    max_attempts: MaxAttempts = None,
    quiet: QuietSwitch = False,
    json_lines: LinesSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Stylize again the pairs that failed in an output's latest run.

    Uses the manifest that was kept in the output; options set here replace those of the rows.
    """
    address = storage.absolute(output)
    validated(StylizeOptions, options)
    latest = Ledger(address).latest_run()
    selection = Selection(only_failed=True, max_attempts=max_attempts)
    arguments = RunArguments(
        address, settings=_settings_of_retry(latest, settings), selection=selection, overrides=options
    )
    _, code = run_manifest(arguments, Shown(quiet, json_lines, as_json))
    raise typer.Exit(code)


def _settings_of_retry(latest: RunRecord, given: dict[str, Any]) -> RunSettings:
    """Return the settings of the run to retry, updated with those that the user has set now."""
    is_debugged = latest.settings.get("runner") == "inline"  # a debugging run; its runner must not be inherited
    earlier = recorded_settings(latest).model_dump(mode="json") if is_debugged else latest.settings
    weights = {"weights": earlier.get("weights"), "weights_sha256": latest.weights_sha256}
    if given.get("backbone", latest.backbone) != latest.backbone:  # another backbone has other weights
        weights = dict.fromkeys(weights)
    return settings_of({**earlier, "take_over": False, **weights, **given})


@dataclasses.dataclass(frozen=True)
class Shown:
    """How a run is shown: for people or for programs.

    Attributes:
        quiet: whether only warnings and errors are printed.
        json_lines: whether each pair's outcome, and then the summary, is printed as a line of JSON.
        as_json: whether the summary is printed as JSON.
    """

    quiet: bool = False
    json_lines: bool = False
    as_json: bool = False


def run_manifest(arguments: RunArguments, shown: Shown) -> tuple[RunSummary, ExitCode]:
    """Carry the run out and print its summary."""
    if arguments.settings is None or arguments.settings.runner == "local":
        ask()
    # Refuse an impossible run before anything is started.
    if arguments.settings is not None:
        check_parameters({"settings": arguments.settings.model_dump()})
    request = resolve(arguments)
    check_feasible(request)
    check_prefect_home()
    check_client_environment()
    check_named_server()
    try:
        state_folder = keep_prefect_state_in_sight()
    except OSError as error:
        raise ServiceError(str(error)) from error
    with ExitStack() as stack:
        stack.enter_context(logged_to_terminal(logging.WARNING if shown.quiet or shown.json_lines else logging.INFO))
        if shown.json_lines:
            stack.enter_context(watched_by(json_lines(sys.stdout)))
        summary, code = _run_planned(request, shown)
    try:
        _print_summary(summary, shown, state_folder)
    except StorageError as error:  # the run has ended nevertheless, and keeps its own exit code
        typer.echo(f"nst: {error}; the run's summary is in {summary.output}", err=True)
    return summary, code


def _run_planned(request: RunRequest, shown: Shown) -> tuple[RunSummary, ExitCode]:
    if is_part_of_a_run():  # the flow must begin the run itself, with the fewer rights that it has there
        return _through_prefect(request, shown)
    with begun(request) as run, hand_over(run):
        if run.pool is None and is_without_server():
            run.hold.check()  # a run that has taken the output over must not have its table overwritten
            return _finish_at_once(run)
        return _through_prefect(request, shown)


def _finish_at_once(begun: BegunRun) -> tuple[RunSummary, ExitCode]:
    """Finish a run in which nothing is left to do: write the tables and the page again, without a Prefect server."""
    run = begun.run
    with notify_all(run.started):
        finished = finish_run(run, most_kept=MOST_ROWS, check_hold=begun.hold.check)
    page_at_end(run.job.output, run.record, run.request.manifest, finished.outcomes, check_hold=begun.hold.check)
    return finished.summary, _code(finished.summary)


def _through_prefect(request: RunRequest, shown: Shown) -> tuple[RunSummary, ExitCode]:
    """Carry the run out as the Prefect flow, whose server starts while the flow is being imported."""
    server = begin_server()
    read_settings()
    # Imported only here, after its settings were made: prefect reads them once.
    from httpx import TransportError
    from prefect import tags

    from flows.bulk_stylize import bulk_stylize
    from flows.prefect_layer.deployment_runs import named_answers

    parameters = {name: value for name, value in vars(request.arguments).items() if value}
    try:
        with _display(shown), named_answers(), tags("nst", "command-line"):
            if server is not None:
                server.wait()
            summary = bulk_stylize(**parameters)
    except RunIncomplete as incomplete:
        typer.echo(f"nst: {incomplete}", err=True)
        return incomplete.summary, ExitCode.INTERRUPTED
    except TransportError as error:
        raise ServiceError(
            f"the Prefect server stopped answering ({type(error).__name__}), and could not be told how the run ended; "
            f"`nst status {request.output}` says what is done, the same command again does the rest"
        ) from error
    return summary, _code(summary)


def _code(summary: RunSummary) -> ExitCode:
    return ExitCode.SOME_FAILED if summary.failed or summary.rejected else ExitCode.OK


def _print_summary(summary: RunSummary, shown: Shown, state_folder: Path | None) -> None:
    if shown.json_lines:
        typer.echo(json.dumps({"event": "summary"} | summary.model_dump(mode="json")))
    elif shown.as_json:
        typer.echo(summary.model_dump_json(indent=1))
    elif not shown.quiet:
        typer.echo(_summary_text(summary))
        if state_folder is not None:
            typer.echo(f"Prefect's own state is in {_shortest(state_folder)}")


@contextmanager
def _display(shown: Shown) -> Iterator[None]:
    """Show a run's progress during the block: a live display in a terminal, else the log's lines."""
    # Imported only here because the flow imports it anyway.
    from rich.console import Console

    from flows.prefect_layer.plain_errors import errors_left_to_the_command
    from flows.watching.terminal import LiveDisplay, can_show, only_warnings

    with ExitStack() as stack:
        # Ids and messages come from a manifest, so they must not be interpreted as markup.
        console = Console(stderr=True, markup=False, highlight=False)
        if shown.quiet or shown.json_lines:
            stack.enter_context(only_warnings())
        elif can_show(console):
            display = LiveDisplay(console)
            stack.enter_context(watched_by(display.watch))
            stack.enter_context(display.shown())
        stack.enter_context(errors_left_to_the_command())
        yield


def _shortest(folder: Path) -> str:
    """Return the shorter of a folder's absolute and relative paths."""
    try:
        return min(str(folder), os.path.relpath(folder), key=len)
    except FileNotFoundError:  # the working folder is gone
        return str(folder)


def _summary_text(summary: RunSummary) -> str:
    left = f", {summary.pending} not selected or left" if summary.pending else ""
    lines = [
        f"{summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected{left}"
        f" (of {counted(summary.rows, 'row')}; {summary.done_before} done before)"
    ]
    if summary.stylized_now:
        lines.append(
            f"{summary.stylized_now} stylized in {summary.seconds:.0f} s, {summary.seconds_per_pair:.1f} s per pair"
            f" on {summary.device} ({summary.backbone}, {summary.precision})"
        )
        if summary.costs is not None:
            lines.append(costs_in_words(summary.costs))
    elif summary.succeeded and not summary.failed and not summary.pending:
        lines.append("nothing was left to do")
    images = storage.join(summary.output, layout.IMAGES)
    lines.append(f"images in {images}, table in {summary.results_csv}{_page_text(summary)}")
    if summary.failed or summary.rejected:
        status = shlex.join(["nst", "status", summary.output])
        lines.append(f"failed and rejected rows, to be corrected: {status} --failed --csv > again.csv")
    return "\n".join(map(printable, lines))


def _page_text(summary: RunSummary) -> str:
    """Return the end of the line that says where everything is; empty if no page was made, or it cannot be seen."""
    page = storage.join(summary.output, layout.REPORT)
    if summary.rows <= MOST_ROWS:
        with suppress(StorageError):
            return f", page in {page}" if storage.entry_of(page) else ""
    return ""
