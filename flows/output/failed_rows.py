"""Writes the failed and rejected rows of a run as a new manifest, which can be corrected and run from any folder.

Each row keeps its cells as written, with three exceptions: addresses are absolute, the id is the one that the pair had
in the run, and options that the run set for all rows are filled in where a cell is empty. The last columns say why the
row failed; the reader of a manifest ignores those columns.
"""

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
from flows.manifest.ignored_columns import ignore_columns
from flows.manifest.rows_of_python import in_full
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.output.outcomes import Row
from flows.output.results import table_rows
from flows.records.pairs import OTHER_PICTURES
from flows.records.runs import RunRecord
from flows.spreadsheets import as_fixed_text, csv_writer
from flows.wording import csv_safe
from nst_core.options.stylize_options import EXCLUSIVE_OPTIONS, merge_options

PICTURES = (*REQUIRED_COLUMNS, *OTHER_PICTURES)
WHY = ("row", "status", "error_kind", "error")
"""Columns of the results table that are appended: because of them, the manifest's reader takes the file for a results
table and ignores these columns."""


@dataclass(frozen=True)
class FailedRows:
    """A manifest of the failed and rejected rows.

    Attributes:
        data: the manifest as CSV; a spreadsheet that opens it neither runs nor changes a cell.
        rows: the number of its rows.
        left_out: (line, reason) of each row whose cells could not be separated; the user corrects those in the
            original manifest.
    """

    data: bytes
    rows: int
    left_out: tuple[tuple[int, str], ...]


def failed_rows_manifest(output: str) -> FailedRows:
    """Return the failed and the rejected rows of an output's latest run as a manifest.

    Raises:
        OutputError: if no run was ever made into this output, or a record is damaged.
        StorageError: if the output cannot be read.
    """
    latest = latest_run(output)
    run = latest.record
    rows = table_rows(latest.manifest, run, Ledger(output))
    unsuccessful = {row["row"]: row for row in rows if row["status"] in ("failed", "rejected")}
    name = storage.name_of(run.manifest_uri)
    table = ignore_columns(read_table(latest.data, name, sys.maxsize))
    columns = columns_of(table.header, name)
    titles = [column.title.strip(" ") if column.field else column.title for column in columns]
    writer = _Writer(titles, [column.field or "" for column in columns], run)
    left_out = []
    for row in table.rows([index for index, column in enumerate(columns) if column.field]):
        if row.line in unsuccessful and row.problem:
            left_out.append((row.line, row.problem))
        elif row.line in unsuccessful:
            writer.write(row.cells, unsuccessful[row.line])
    return FailedRows(writer.data(), len(unsuccessful) - len(left_out), tuple(left_out))


class _Writer:
    """Writes rows with the columns of a manifest, and with columns for the options that its run set for all rows."""

    def __init__(self, titles: Sequence[str], fields: Sequence[str], run: RunRecord) -> None:
        self._folder = os.path.dirname(run.manifest_uri)
        self._defaults = _cells(run.options.model_dump(mode="json", exclude_defaults=True))
        self._overrides = _cells(run.overrides)
        further = dict.fromkeys(("id", *self._defaults, *self._overrides))
        self._fields = [*fields, *(name for name in further if name not in fields)]
        self._width = len(fields)
        self._buffer = io.StringIO(newline="")
        self._lines = csv_writer(self._buffer)
        self._line([*titles, *self._fields[self._width :], *WHY])

    def write(self, cells: Sequence[str], row: Row) -> None:
        """Write one row.

        Args:
            cells: the cells of the row in the manifest.
            row: the same row in the results table.
        """
        given = [*cells, *[""] * (len(self._fields) - self._width)]
        written = [self._cell(field, cell, row) for field, cell in zip(self._fields, given, strict=True)]
        for name in self._overruled(dict(zip(self._fields, given, strict=True))):
            written[self._fields.index(name)] = ""
        # A character for which a cell was rejected, such as a NUL, would have the whole new manifest refused.
        safe = map(csv_safe, written) if row["status"] == "rejected" else written
        self._line([*safe, *(cell_of(row[name]) for name in WHY)])

    def _overruled(self, given: Mapping[str, str]) -> list[str]:
        """Return the options of the row or its run that the row's start image or a later option replaces."""
        own = {field: cell for field, cell in given.items() if cell.strip(" ")}
        in_effect = merge_options(merge_options(self._defaults, own), self._overrides)
        overruled = [name for name in EXCLUSIVE_OPTIONS if name in self._fields and name not in in_effect]
        start = ["init"] if "init_image" in own and "init" in self._defaults and "init" not in own else []
        return [*overruled, *start]

    def data(self) -> bytes:
        """Return the manifest with all rows written so far."""
        return self._buffer.getvalue().encode(errors="surrogatepass")

    def _cell(self, field: str, cell: str, row: Row) -> str:
        """Return what a cell becomes in the new manifest."""
        if field in PICTURES:
            return in_full(cell, self._folder) if cell.strip(" ") else cell
        if field == "id":
            return cell if cell.strip(" ") else row["pair_id"] or ""
        if field in self._overrides:
            return self._overrides[field]
        return cell if cell.strip(" ") else self._defaults.get(field, cell)

    def _line(self, cells: Sequence[str]) -> None:
        self._lines.writerow(map(as_fixed_text, cells))


def _cells(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as the cells of a manifest."""
    return {
        name: " ".join(map(cell_of, value)) if isinstance(value, list | tuple) else cell_of(value)
        for name, value in options.items()
        if value is not None
    }
