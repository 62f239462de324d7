"""The rows that failed or were rejected as a manifest of their own: to be put right and handed in from anywhere.

Each row has its cells as they are written, but for these: addresses are in full, the id is the one that the pair had,
and what the run said of all rows stands where the row says nothing. At the end is why it failed, in columns that a
manifest's reader passes over.
"""

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows import storage
from flows.manifest.cells import cell_of
from flows.manifest.columns import REQUIRED_COLUMNS, columns_of
from flows.manifest.formats import read_table
from flows.manifest.ignored_columns import pass_over
from flows.manifest.rows_of_python import in_full
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.output.outcomes import Row
from flows.output.results import table_rows
from flows.records.pairs import OTHER_PICTURES
from flows.records.runs import RunRecord
from flows.spreadsheets import as_fixed_text
from flows.wording import in_csv
from nst_core.options.stylize_options import SAID_EITHER_WAY, put_over

PICTURES = (*REQUIRED_COLUMNS, *OTHER_PICTURES)
WHY = ("row", "status", "error_kind", "error")
"""Columns of the results table; with them a manifest is one, of which the reader leaves them alone."""


@dataclass(frozen=True)
class Again:
    """A manifest of the rows in trouble.

    Attributes:
        data: as CSV, in which a spreadsheet runs nothing and changes nothing.
        rows: that it has.
        left_out: (line, reason) of rows whose cells could not be told apart: they are put right where they stand.
    """

    data: bytes
    rows: int
    left_out: tuple[tuple[int, str], ...]


def rows_again(output: str) -> Again:
    """The failed and the rejected rows of an output's latest run.

    Raises:
        OutputError: if nothing was ever run into it, or a record is damaged.
        StorageError: if it cannot be read.
    """
    latest = latest_run(output)
    run = latest.record
    rows = table_rows(latest.manifest, run, Ledger(output))
    troubled = {row["row"]: row for row in rows if row["status"] in ("failed", "rejected")}
    name = storage.name_of(run.manifest_uri)
    table = pass_over(read_table(latest.data, name, sys.maxsize))
    columns = columns_of(table.header, name)
    titles = [column.title.strip(" ") if column.field else column.title for column in columns]
    writer = _Writer(titles, [column.field or "" for column in columns], run)
    left_out = []
    for row in table.rows([index for index, column in enumerate(columns) if column.field]):
        if row.line in troubled and row.problem:
            left_out.append((row.line, row.problem))
        elif row.line in troubled:
            writer.write(row.cells, troubled[row.line])
    return Again(writer.data(), len(troubled) - len(left_out), tuple(left_out))


class _Writer:
    """Writes rows with the columns of a manifest, and those that a row of it left to its run."""

    def __init__(self, titles: Sequence[str], fields: Sequence[str], run: RunRecord) -> None:
        self._folder = os.path.dirname(run.manifest_uri)
        self._usual = _cells(run.options.model_dump(mode="json", exclude_defaults=True))
        self._overrides = _cells(run.overrides)
        further = dict.fromkeys(("id", *self._usual, *self._overrides))
        self._fields = [*fields, *(name for name in further if name not in fields)]
        self._width = len(fields)
        self._buffer = io.StringIO(newline="")
        self._lines = csv.writer(self._buffer, lineterminator="\n")
        self._line([*titles, *self._fields[self._width :], *WHY])

    def write(self, cells: Sequence[str], row: Row) -> None:
        """A row of the manifest, of which the results table has another."""
        told = [*cells, *[""] * (len(self._fields) - self._width)]
        asked = [self._asked(field, cell, row) for field, cell in zip(self._fields, told, strict=True)]
        for name in self._overruled(dict(zip(self._fields, told, strict=True))):
            asked[self._fields.index(name)] = ""
        # What a cell was refused for, such as a NUL, would have the whole file refused.
        safe = map(in_csv, asked) if row["status"] == "rejected" else asked
        self._line([*safe, *(cell_of(row[name]) for name in WHY)])

    def _overruled(self, told: Mapping[str, str]) -> list[str]:
        """Options of the row or of its run that the row's picture, or another option that was said later, replaces."""
        own = {field: cell for field, cell in told.items() if cell.strip(" ")}
        counted = put_over(put_over(self._usual, own), self._overrides)
        overruled = [name for name in SAID_EITHER_WAY if name in self._fields and name not in counted]
        start = ["init"] if "init_image" in own and "init" in self._usual and "init" not in own else []
        return [*overruled, *start]

    def data(self) -> bytes:
        """All that was written."""
        return self._buffer.getvalue().encode(errors="surrogatepass")

    def _asked(self, field: str, cell: str, row: Row) -> str:
        if field in PICTURES:
            return in_full(cell, self._folder) if cell.strip(" ") else cell
        if field == "id":
            return cell if cell.strip(" ") else row["pair_id"] or ""
        if field in self._overrides:
            return self._overrides[field]
        return cell if cell.strip(" ") else self._usual.get(field, cell)

    def _line(self, cells: Sequence[str]) -> None:
        self._lines.writerow(map(as_fixed_text, cells))


def _cells(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as a manifest writes them."""
    return {
        name: " ".join(map(cell_of, value)) if isinstance(value, list | tuple) else cell_of(value)
        for name, value in options.items()
        if value is not None
    }
