"""The command `nst`: run, validate, status, retry, report, sheet, split, gc. Imports the flow only when it runs one.

Exit codes: 0 every row succeeded; 3 finished, some rows failed or were rejected; 2 the command or the manifest is
unusable; 4 nothing could be done (credentials, storage, weights); 75 interrupted, run again to go on.
"""

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from enum import IntEnum
from types import FrameType
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli import report as cli_report
from flows.cli import service as cli_service
from flows.cli import split as cli_split
from flows.cli.options import options_from, validated
from flows.environment import keep_prefect_state_in_sight
from flows.errors import (
    ClusterError,
    HardwareUnknown,
    LimitsError,
    ManifestError,
    NotAllowed,
    OutputBusy,
    OutputError,
    RequestRefused,
    ServiceError,
    StorageError,
)
from flows.limits import limits_in_force
from flows.manifest.load import load_manifest
from flows.output import lease
from flows.output.garbage import find_garbage, remove_garbage
from flows.output.latest import latest_manifest
from flows.output.ledger import Ledger
from flows.output.results import Row, counts, table_rows
from flows.records import Manifest, RunSummary
from flows.run.plan import MISSING, identities_of
from flows.run.request import Asked, check_feasible, resolve, resolved_already
from flows.runners.hardware import ask
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core import __version__
from nst_core.errors import NstError, OptionsError, WeightsError
from nst_core.options import StylizeOptions

app = typer.Typer(
    help="Bulk neural style transfer: a CSV manifest of content/style pairs in, stylized images and a table out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the columns of rich cut long option names short
)

JsonSwitch = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


QuietSwitch = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what goes wrong.")]
LinesSwitch = Annotated[
    bool, typer.Option("--json-lines", help="Print every pair's outcome, and then the summary, as a line of JSON.")
]
MaxAttempts = Annotated[int | None, typer.Option(min=1, help="Leave alone what has failed so many times.")]


class ExitCode(IntEnum):
    """What the command tells the shell."""

    OK = 0
    UNUSABLE = 2
    SOME_FAILED = 3
    NOTHING_DONE = 4
    INTERRUPTED = 75


@app.callback(invoke_without_command=True)
def version(
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Bulk neural style transfer."""
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
@options_from(options=StylizeOptions, settings=RunSettings)
def run(
    manifest: Annotated[str, typer.Argument(help="CSV of content/style pairs, local or s3://.")],
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder or s3:// prefix. [default: runs/<manifest name>]")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only the pair of this id; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many pairs.")] = None,
    max_attempts: MaxAttempts = None,
    quiet: QuietSwitch = False,
    json_lines: LinesSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Stylize the pairs of a manifest that are not done yet. The same command again does only what is left."""
    with _exit_codes():
        chosen = validated(StylizeOptions, options)
        address = storage.absolute(manifest)
        target = output or os.path.join("runs", storage.name_of(address).rpartition(".")[0] or storage.name_of(address))
        selection = Selection(only=tuple(only or ()), limit=limit, max_attempts=max_attempts)
        asked = Asked(storage.absolute(target), address, chosen, _settings(settings), selection)
        _run_flow(asked, _Shown(quiet, json_lines, as_json))


@app.command()
@options_from(options=StylizeOptions, settings=RunSettings)
def retry(
    output: Annotated[str, typer.Argument(help="Output folder or s3:// prefix of an earlier run.")],
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    max_attempts: MaxAttempts = None,
    quiet: QuietSwitch = False,
    json_lines: LinesSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Stylize again what failed in an output's latest run, from the manifest that was kept there.

    Options given here go on top of those of the rows themselves.
    """
    with _exit_codes():
        address = storage.absolute(output)
        validated(StylizeOptions, options)
        latest, _ = Ledger(address).latest_run()
        again = _settings({**latest.settings, "weights_sha256": latest.weights_sha256, **settings})
        selection = Selection(only_failed=True, max_attempts=max_attempts)
        asked = Asked(address, settings=again, selection=selection, overrides=options)
        _run_flow(asked, _Shown(quiet, json_lines, as_json))


@app.command()
@options_from(options=StylizeOptions)
def validate(
    manifest: Annotated[str, typer.Argument(help="CSV of content/style pairs, local or s3://.")],
    *,
    options: dict[str, Any],
    files: Annotated[bool, typer.Option(help="Look whether every image file is there.")] = True,
    as_json: JsonSwitch = False,
) -> None:
    """Check a manifest: every row, and whether its files are there. Nothing is stylized."""
    with _exit_codes():
        chosen = validated(StylizeOptions, options)
        _, loaded = load_manifest(storage.absolute(manifest), chosen, limits_in_force())
        problems = [(row.row, row.reason()) for row in loaded.rejected] + (_missing_files(loaded) if files else [])
        problems.sort()
        bad_rows = {row for row, _ in problems}
        valid = [pair for pair in loaded.pairs if pair.row not in bad_rows]
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "manifest": loaded.uri,
                        "rows": len(loaded.pairs) + len(loaded.rejected),
                        "valid": [{"row": pair.row, "id": pair.pair_id} for pair in valid],
                        "problems": [{"row": row, "reason": reason} for row, reason in problems],
                    },
                    indent=1,
                )
            )
        else:
            name = storage.name_of(loaded.uri)
            for row, reason in problems:
                typer.echo(f"{name} line {row}: {reason}")
            checked = "in order, files there" if files else "in order"
            typer.echo(f"{name}: {len(valid)} rows {checked}; {len(bad_rows)} cannot be stylized")
        raise typer.Exit(ExitCode.SOME_FAILED if bad_rows else ExitCode.OK)


@app.command()
def status(
    output: Annotated[str, typer.Argument(help="Output folder or s3:// prefix of a run.")],
    *,
    as_json: JsonSwitch = False,
) -> None:
    """Counts of an output's latest run as its records stand now, and the failed rows with their reasons."""
    with _exit_codes():
        address = storage.absolute(output)
        latest, _, manifest = latest_manifest(address)
        rows = table_rows(manifest, latest, Ledger(address))
        by_status = counts(rows)
        troubled = [row for row in rows if row["status"] in ("failed", "rejected")]
        if as_json:
            shown = [{key: row[key] for key in ("row", "pair_id", "status", "error_kind", "error")} for row in troubled]
            typer.echo(json.dumps({"run_id": latest.run_id, **by_status, "problems": shown}, indent=1))
        else:
            typer.echo(f"run {latest.run_id} of {latest.manifest_uri}")
            typer.echo(", ".join(f"{number} {name}" for name, number in by_status.items()))
            for row in troubled:
                typer.echo(_problem_line(row))
        pending = ExitCode.INTERRUPTED if by_status["pending"] else ExitCode.OK
        raise typer.Exit(ExitCode.SOME_FAILED if troubled else pending)


@app.command()
def gc(
    output: Annotated[str, typer.Argument(help="Output folder or s3:// prefix of a run.")],
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without this they are only listed.")] = False,
    older_than_hours: Annotated[
        float, typer.Option(min=0.0, help="Leave alone what is younger: a run may still be at it.")
    ] = 24.0,
    as_json: JsonSwitch = False,
) -> None:
    """List, or remove, what an output holds for nothing: images without a record, files whose writer died."""
    with _exit_codes():
        address = storage.absolute(output)
        limits_in_force().check_writable(address)
        Ledger(address).latest_run()  # a folder that never was an output has no garbage of ours
        with lease.held(address) if delete else nullcontext():
            garbage = find_garbage(address, older_than_hours * 3600)
            if delete:
                remove_garbage(garbage)
        total = sum(one.size for one in garbage)
        if as_json:
            found = [dataclasses.asdict(one) for one in garbage]
            typer.echo(json.dumps({"removed": delete, "bytes": total, "files": found}, indent=1))
            return
        for one in garbage:
            typer.echo(f"{one.address}: {one.reason}, {one.size:,} bytes")
        done = "removed" if delete else "to remove with --delete"
        typer.echo(f"{len(garbage)} files, {total:,} bytes {done}")


def main() -> None:
    """Entry point of the command."""
    # A scheduler's SIGTERM is an interruption like Ctrl-C; Prefect would let it kill the process, and leave its server.
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _settings(given: dict[str, Any]) -> RunSettings:
    """Settings with the weights file made absolute, so that a retry from another folder finds it."""
    if given.get("weights"):
        given["weights"] = storage.absolute(given["weights"])
    return validated(RunSettings, given)


@dataclasses.dataclass(frozen=True)
class _Shown:
    """How a run is shown: as people or as programs read it."""

    quiet: bool
    json_lines: bool
    as_json: bool


def _run_flow(asked: Asked, shown: _Shown) -> None:
    """Run the flow with an embedded Prefect API, print its summary, and exit."""
    if asked.settings is None or asked.settings.runner == "local":
        ask()
    # What cannot be done is refused before Prefect starts.
    request = resolve(asked)
    check_feasible(request)
    lease.wait_until_free(request.output, request.settings.wait_for_output_seconds)
    state_folder = keep_prefect_state_in_sight()
    # Here, after the settings: prefect reads them once.
    from flows.bulk_stylize import bulk_stylize
    from flows.prefect_layer.embedded_server import shield_from_ctrl_c

    shield_from_ctrl_c()
    parameters = {name: value for name, value in vars(asked).items() if value}
    with _display(shown), resolved_already(request):
        state = bulk_stylize(**parameters, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    summary = RunSummary.model_validate(outcome)
    if shown.json_lines:
        typer.echo(json.dumps({"event": "summary"} | summary.model_dump(mode="json")))
    elif shown.as_json:
        typer.echo(summary.model_dump_json(indent=1))
    elif not shown.quiet:
        typer.echo(_summary_text(summary))
        if state_folder is not None:
            typer.echo(f"Prefect's own state is in {os.path.relpath(state_folder)}")
    raise typer.Exit(_exit_code(summary, is_complete=state.is_completed()))


@contextmanager
def _display(shown: _Shown) -> Iterator[None]:
    """Whatever shows a run while it goes on: a live display in a terminal, else the log's lines."""
    # Here, as it comes with the flow.
    from rich.console import Console

    from flows.watching.listeners import watched_by
    from flows.watching.terminal import JsonLines, LiveDisplay, only_what_is_wrong

    with ExitStack() as stack:
        if shown.json_lines:
            stack.enter_context(watched_by(JsonLines(sys.stdout)))
        # Ids and messages are whatever a manifest holds: never markup.
        console = Console(stderr=True, markup=False, highlight=False)
        if shown.quiet or shown.json_lines:
            stack.enter_context(only_what_is_wrong())
        elif console.is_terminal:
            display = LiveDisplay(console)
            stack.enter_context(watched_by(display))
            stack.enter_context(display.shown())
        yield


def _exit_code(summary: RunSummary, *, is_complete: bool) -> ExitCode:
    if not is_complete:
        return ExitCode.INTERRUPTED
    return ExitCode.SOME_FAILED if summary.failed or summary.rejected else ExitCode.OK


def _summary_text(summary: RunSummary) -> str:
    left = f", {summary.pending} not selected or left" if summary.pending else ""
    lines = [
        f"{summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected{left}"
        f" (of {summary.rows} rows; {summary.done_before} were done before)"
    ]
    if summary.stylized_now:
        lines.append(
            f"{summary.stylized_now} stylized in {summary.seconds:.0f} s, {summary.seconds_per_pair:.1f} s per pair"
            f" on {summary.device} ({summary.backbone}, {summary.precision})"
        )
    elif summary.succeeded and not summary.failed and not summary.pending:
        lines.append("nothing was left to do")
    lines.append(f"images in {storage.join(summary.output, 'images')}, table in {summary.results_csv}")
    return "\n".join(lines)


def _problem_line(row: Row) -> str:
    name = f" {row['pair_id']}" if row["pair_id"] else ""
    line = f"line {row['row']}{name}: {row['status']} ({row['error_kind']}) {row['error']}"
    return printable(line)


def _missing_files(manifest: Manifest) -> list[tuple[int, str]]:
    identities = identities_of(sorted({address for pair in manifest.pairs for address in (pair.content, pair.style)}))
    return [
        (pair.row, f"column {column!r}: there is no file {address}")
        for pair in manifest.pairs
        for column, address in (("content", pair.content), ("style", pair.style))
        if identities[address] == MISSING
    ]


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn the errors that end a command into one line on stderr and an exit code."""
    try:
        yield
    except OutputBusy as error:
        _fail(error, ExitCode.INTERRUPTED)
    except (ManifestError, OutputError, OptionsError, LimitsError, NotAllowed, RequestRefused) as error:
        _fail(error, ExitCode.UNUSABLE)
    except (StorageError, WeightsError, ServiceError, ClusterError, HardwareUnknown) as error:
        _fail(error, ExitCode.NOTHING_DONE)
    except NstError as error:
        _fail(error, ExitCode.INTERRUPTED)
    except KeyboardInterrupt:
        typer.echo("interrupted: what is finished is kept; run the same command again to go on", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _fail(error: NstError, code: ExitCode) -> None:
    typer.echo(f"nst: {error}", err=True)
    raise typer.Exit(code) from error


cli_report.register(app, _exit_codes)
cli_split.register(app, _exit_codes)
cli_service.add_commands(app, _exit_codes)

if __name__ == "__main__":
    main()
