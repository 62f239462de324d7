"""Remove the columns of a table that set nothing: those of our own results table, and empty ones without a name.

A results table, complete or filtered, can be used as a manifest: its `pair_id` is read as the `id`, and its results are
ignored. In the row of a finished pair, `steps` is the number of steps it took, so `steps_asked` is read instead; in any
other row, what the user has written into `steps` takes precedence.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.manifest.columns import MAX_COLUMNS, RESERVED_COLUMNS
from flows.manifest.table import Table, TableRow
from flows.spreadsheets import without_guard
from flows.wording import first_few

STANDS_FOR = {"pair_id": "id", "steps_asked": "steps"}
"""Maps a column of a results table to the manifest column that it is read as, unless the table has that one too."""
NAMED = 5
"""Columns that a note names; the rest are counted."""


def ignore_columns(table: Table) -> Table:
    """Return the table without the columns that set nothing.

    Raises:
        ManifestError: a row cannot be read, as in `Table.rows`.
    """
    titles = [title.strip(" ") for title in table.header.cells]
    if table.header.problem or len(titles) > MAX_COLUMNS:
        return table
    names = [without_guard(title) if table.is_guarded else title for title in titles]
    if is_results_table(names):
        table = _ResultsTable.of(table, names)
        names = [title.strip(" ") for title in table.header.cells]
    nameless = {index for index, name in enumerate(names) if not name}
    if nameless and not any(_are_filled(row, nameless) for row in table.rows(())):
        kept = tuple(index for index in range(len(names)) if index not in nameless)
        return _ColumnSubset(table, kept, "empty columns without a name")
    return table


def _are_filled(row: TableRow, columns: Collection[int]) -> bool:
    return any(row.cells[index].strip() for index in columns if index < len(row.cells))


def is_results_table(names: Collection[str]) -> bool:
    """Return whether a header is that of a results table: it has `status` and at least one more of its own columns."""
    return "status" in names and sum(name in RESERVED_COLUMNS for name in set(names)) > 1


@dataclass(frozen=True)
class _ColumnSubset:
    """A table with a subset of the columns of another.

    Attributes:
        table: the other table.
        kept: the indices of its columns that this one has.
        ignored: the columns that it does not have, in words.
    """

    table: Table
    kept: tuple[int, ...]
    ignored: str

    @property
    def header(self) -> TableRow:
        return self._narrow(self.table.header)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.table.notes, f"passed over: {self.ignored}")

    @property
    def is_guarded(self) -> bool:
        return self.table.is_guarded

    def line_of_row(self, number: int) -> int | None:
        return self.table.line_of_row(number)

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:
        wanted = {self.kept[index] for index in one_line}
        return map(self._narrow, self.table.rows(wanted))

    def _narrow(self, row: TableRow) -> TableRow:
        cells = [row.cells[index] for index in self.kept if index < len(row.cells)]
        return dataclasses.replace(row, cells=cells)


@dataclass(frozen=True)
class _ResultsTable(_ColumnSubset):
    """A results table as a manifest.

    Attributes:
        names: the names of all columns of the results table.
    """

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Table, names: list[str]) -> "_ResultsTable":
        kept = tuple(index for index, name in enumerate(_read_as(names)) if name not in RESERVED_COLUMNS)
        ignored = [name for name in _read_as(names) if name in RESERVED_COLUMNS]
        steps = "; steps where a pair is done" if "steps" in names else ""
        return cls(table, kept, f"columns of a results table ({first_few(ignored, NAMED)}){steps}", tuple(names))

    @property
    def header(self) -> TableRow:
        return super()._narrow(dataclasses.replace(self.table.header, cells=_read_as(self.names)))

    def _narrow(self, row: TableRow) -> TableRow:
        cells = [without_guard(cell) for cell in row.cells] if self.is_guarded else list(row.cells)
        by_name = dict(zip(self.names, cells, strict=False))
        if "steps" in by_name:
            cells[self.names.index("steps")] = _steps_asked(by_name)
        digest, output = by_name.get("options_digest"), by_name.get("output", "")
        return super()._narrow(dataclasses.replace(row, cells=cells, digest=digest, output=output))


def _read_as(names: Sequence[str]) -> list[str]:
    return [name if STANDS_FOR.get(name, name) in names else STANDS_FOR[name] for name in names]


def _steps_asked(by_name: Mapping[str, str]) -> str:
    """Return the steps that a row requests: `steps` has them only if the pair is not finished."""
    written = "" if by_name.get("status") == "succeeded" else by_name["steps"].strip()
    return written or by_name.get("steps_asked", "")
