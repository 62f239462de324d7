"""The commands `nst status`, which summarizes an output, and `nst gc`, which collects its garbage.

Nothing is stylized.
"""

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, OutputArgument
from flows.cli.streams import print_csv
from flows.limits import limits_in_force
from flows.output import lease
from flows.output.failed_rows import failed_rows_manifest
from flows.output.garbage import find_garbage, remove_garbage
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.output.outcomes import Row
from flows.output.results import counts, table_rows
from flows.wording import counted, printable, problem_lines


def status(
    output: OutputArgument,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="Print all failed and rejected rows, and nothing else.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="With --failed: print them as a manifest, to be corrected and run again.")
    ] = False,
    as_json: JsonSwitch = False,
) -> None:
    """Print the counts of an output's latest run, and its failed rows.

    Shows the current state of its records, with the reasons why rows failed.
    """
    address = storage.absolute(output)
    if as_csv:
        _print_failed_rows(address, is_valid=failed and not as_json)
        return
    latest = latest_run(address)
    run = latest.record
    rows = table_rows(latest.manifest, run, Ledger(address))
    by_status = counts(rows)
    troubled = [row for row in rows if row["status"] in ("failed", "rejected")]
    if as_json:
        shown = [{key: row[key] for key in ("row", "pair_id", "status", "error_kind", "error")} for row in troubled]
        typer.echo(json.dumps({"run_id": run.run_id, **by_status, "problems": shown}, indent=1))
    else:
        if not failed:
            typer.echo(f"run {run.run_id} of {printable(run.manifest_uri)}")
            typer.echo(", ".join(f"{number} {name}" for name, number in by_status.items()))
        for line in map(printable, map(_problem_line, troubled)) if failed else problem_lines(troubled, _problem_line):
            typer.echo(line)
    pending = ExitCode.INTERRUPTED if by_status["pending"] else ExitCode.OK
    raise typer.Exit(ExitCode.SOME_FAILED if troubled else pending)


def _print_failed_rows(address: str, *, is_valid: bool) -> None:
    """Print the failed and rejected rows as a manifest; everything else goes to stderr.

    Args:
        address: the output's address.
        is_valid: whether `--csv` was given with `--failed` and without `--json`.

    Raises:
        typer.BadParameter: if it was not.
    """
    if not is_valid:
        raise typer.BadParameter(
            "goes with --failed alone; the whole table is printed by `nst table --csv`", param_hint="--csv"
        )
    again = failed_rows_manifest(address)
    print_csv(again.data)
    for line in problem_lines(
        again.left_out, lambda one: f"left out: line {one[0]}: {one[1]}; put it right in the manifest"
    ):
        typer.echo(line, err=True)
    typer.echo(f"{again.rows:,} rows to correct or to run again", err=True)


def _problem_line(row: Row) -> str:
    name = f" {row['pair_id']}" if row["pair_id"] else ""
    return f"line {row['row']}{name}: {row['status']} ({row['error_kind']}) {row['error']}"


def gc(
    output: OutputArgument,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the files; without this they are only listed.")
    ] = False,
    older_than_hours: Annotated[
        float, typer.Option(min=0.0, metavar="NUMBER", help="Skip younger files: a run may still need them.")
    ] = 24.0,
    as_json: JsonSwitch = False,
) -> None:
    """List, or remove, an output's unused files.

    These are images without a record, and files whose writer died.
    """
    address = storage.absolute(output)
    writing = limits_in_force().writing(address)
    Ledger(address).latest_run()  # raises an error if the folder never was an output
    with writing, lease.held(address) if delete else nullcontext() as hold:
        garbage = find_garbage(address, older_than_hours * 3600)
        if hold is not None:
            garbage = remove_garbage(garbage, hold.check)
    total = sum(one.size for one in garbage)
    if as_json:
        found = [{"address": one.address, "reason": one.reason, "size": one.size} for one in garbage]
        typer.echo(json.dumps({"removed": delete, "bytes": total, "files": found}, indent=1))
        return
    for one in garbage:
        typer.echo(f"{printable(one.address)}: {one.reason}, {one.size:,} bytes")
    done = "removed" if delete else "to remove with --delete"
    typer.echo(f"{counted(len(garbage), 'file')}, {total:,} bytes {done}")
