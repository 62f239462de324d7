"""The command `nst table`, which prints rows of the results table, computed from the records."""

import io
import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import JsonSwitch, OutputArgument
from flows.cli.streams import print_csv
from flows.output.conditions import filter_rows
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.output.outcomes import Row
from flows.output.results import table_rows
from flows.output.selection import find_column, is_number_column, sorted_rows
from flows.records.columns import RESULT_COLUMNS
from flows.spreadsheets import as_plain_text, csv_writer
from flows.wording import printable, shortened
from nst_core.errors import OptionsError

USUAL = ("row", "pair_id", "status", "total_loss", "content_loss", "style_loss", "steps", "seconds")
"""The default columns; the columns by which the rows are sorted are added to them."""
SHOWN_ROWS = 40
"""The default number of rows that are shown as text."""
CELL_CHARS = 40
"""The length to which cells are cut when they are shown as text."""


def table(
    output: OutputArgument,
    *,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION", help="Only rows for which it holds: 'style_loss > 0.05 and status == \"succeeded\"'."
        ),
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="-COLUMN sorts from the largest down; may be repeated.")
    ] = None,
    columns: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these columns, in this order.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="INTEGER", help=f"Print at most this many rows. [default: {SHOWN_ROWS} in a terminal]"
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, in the format of results.csv.")] = False,
    as_json: JsonSwitch = False,
) -> None:
    """Print, filter and sort rows of the results table.

    Shows the current state of the records, so it also works while a run goes on.
    """
    address = storage.absolute(output)
    latest = latest_run(address)
    known = tuple(dict.fromkeys((*RESULT_COLUMNS, *latest.manifest.extra_columns)))
    keys = [key for text in sort or () for key in _listed(text, known)]
    shown = _columns(columns, keys, known, is_whole=as_csv or as_json)
    every = table_rows(latest.manifest, latest.record, Ledger(address))
    found = sorted_rows(filter_rows(every, where, known) if where else every, _checked(keys, known), known)
    most = limit or (SHOWN_ROWS if sys.stdout.isatty() and not (as_csv or as_json) else None)
    rows = [{column: row[column] for column in shown} for row in found[:most]]
    if as_csv:
        print_csv(_csv(rows, shown))
    elif as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        for line in _lines(rows, shown):
            typer.echo(line)
    more = f", the first {len(rows):,} shown" if len(rows) < len(found) else ""
    typer.echo(f"{len(found):,} of {len(every):,} rows{more}", err=True)


def _listed(text: str, known: Sequence[str]) -> list[str]:
    """Split a list of columns at its commas, unless the whole text is the name of a column."""
    is_one = text in known or text.removeprefix("-") in known
    return [text] if is_one else [name.strip() for name in text.split(",") if name.strip()]


def _columns(text: str | None, keys: Sequence[str], known: Sequence[str], *, is_whole: bool) -> list[str]:
    """Return the columns to print.

    Args:
        text: the user's list of columns, or None for the default.
        keys: the columns by which the rows are sorted; those with `-` in front, from the largest down.
        known: all columns of the table.
        is_whole: whether the default is all columns.

    Raises:
        OptionsError: there is no such column.
    """
    if text is not None:
        try:
            return list(dict.fromkeys(find_column(name, known) for name in _listed(text, known)))
        except OptionsError as error:
            raise OptionsError(f"--columns: {error}") from error
    if is_whole:
        return list(known)
    sorted_by = [key.removeprefix("-") for key in keys]
    return list(dict.fromkeys((*USUAL, *(key for key in sorted_by if key in known))))


def _checked(keys: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the sort keys.

    Raises:
        OptionsError: one of them is not a column; the message names the option `--sort`.
    """
    try:
        sorted_rows([], keys, known)
    except OptionsError as error:
        raise OptionsError(f"--sort: {error}") from error
    return keys


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv_writer(buffer)
    writer.writerow(map(as_plain_text, columns))
    for row in rows:
        writer.writerow([as_plain_text(cell) if isinstance(cell, str) else cell for cell in row.values()])
    return buffer.getvalue().encode()


def _lines(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Return the table as lines of aligned columns, with numbers aligned to the right."""
    texts = [list(map(_shown, columns))] + [[_shown(row[column]) for column in columns] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    right = [is_number_column(column) for column in columns]
    return ["  ".join(map(_padded, line, widths, right)).rstrip() for line in texts]


def _shown(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.5g}" if isinstance(cell, float) else printable(shortened(str(cell), CELL_CHARS))


def _width(text: str) -> int:
    """Return the width in a terminal's columns: East Asian wide characters take two, combining accents none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _padded(text: str, width: int, is_right: bool) -> str:  # noqa: FBT001  # called by map
    blanks = " " * (width - _width(text))
    return blanks + text if is_right else text + blanks
