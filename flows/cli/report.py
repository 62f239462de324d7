"""The commands `nst report` and `nst sheet`, which write HTML pages and contact sheets of a run's results.

Nothing is stylized.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from flows import storage
from flows.cli.app import OutputArgument
from flows.errors import OutputError
from flows.limits import limits_in_force
from flows.output.ledger import Ledger
from flows.records.layout import FOLDERS, REPORT, SHEET
from flows.storage.places import is_below

COMPARISON = "comparison.html"
"""The default file of a comparison, in the current folder."""


def report(
    outputs: Annotated[
        list[str],
        typer.Argument(help="Output folder or s3:// prefix of a run; two or more are compared."),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help=f"Where a comparison goes, local or s3://. [default: {COMPARISON}]"
        ),
    ] = None,
) -> None:
    """Write report.html into an output, or compare several.

    A comparison is one page about two or more outputs with the same pairs.
    """
    addresses = [storage.absolute(one) for one in outputs]
    if len(addresses) == 1 and output is not None:
        raise typer.BadParameter("report.html of one output goes into that output", param_hint="--output")
    if len(set(addresses)) < len(addresses):
        raise typer.BadParameter("the same output is named twice", param_hint="outputs")
    # Imported inside functions because Pillow and jinja2 take time to import and the other commands do not need them.
    if len(addresses) == 1:
        from flows.report.run_page import write_report

        with _writing(addresses, storage.join(addresses[0], REPORT)):
            typer.echo(write_report(addresses[0]))
        return
    from flows.report.comparison import write_comparison

    target = storage.absolute(output or COMPARISON)
    with _writing(addresses, target):
        typer.echo(write_comparison(addresses, target))


def sheet(
    output: OutputArgument,
    *,
    target: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The PNG, local or s3://. [default: sheet.png in OUTPUT]"),
    ] = None,
    layout: Annotated[
        Literal["auto", "grid", "strips"],
        typer.Option(
            metavar="auto|grid|strips",
            help="A grid of contents and styles, a strip per pair, or whichever leaves less empty space.",
        ),
    ] = "auto",
) -> None:
    """Write a contact sheet: a PNG of contents x styles, for slides."""
    from flows.report.sheet import write_sheet

    address = storage.absolute(output)
    place = storage.absolute(target) if target else storage.join(address, SHEET)
    with _writing([address], place):
        typer.echo(write_sheet(address, place, layout=layout))


@contextmanager
def _writing(outputs: list[str], target: str) -> Iterator[None]:
    """Return a context for writing the target, after checking all that can be refused before any work is done.

    Raises:
        NotAllowed: the operator's limits do not allow the target to be written.
        OutputError: one of the outputs has no run, or the target is in a folder of a run's own files.
    """
    with limits_in_force().writing(storage.parent_of(target)):
        for output in outputs:
            Ledger(output).latest_run()
            _check_apart(output, target)
        yield


def _check_apart(output: str, target: str) -> None:
    """Raise an error if the target is in one of the folders of an output that hold a run's own files.

    Raises:
        OutputError: it is; the message names the folder.
    """
    here, there = map(storage.real_address, (output, storage.parent_of(target)))
    for name in FOLDERS:
        if is_below(there, (storage.join(here, name),)):
            raise OutputError(
                f"{target}: expected a file beside what runs have made, found a place in {name} of the output "
                f"{output}; name another with --output"
            )
