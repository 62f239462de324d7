"""Columns that ask for nothing are passed over: those of our own results table, and those that are empty.

A results table that is handed in again, as it is or filtered, is a manifest: its `pair_id` is the `id`, and what a run
found out is left alone. Of a pair that is done, `steps` are those that it took, and `steps_asked` those that count; of
any other, what somebody has written into `steps` goes first.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.manifest.columns import MAX_COLUMNS, RESERVED_COLUMNS
from flows.manifest.table import Table, TableRow
from flows.spreadsheets import as_meant
from flows.wording import some

STANDS_FOR = {"pair_id": "id", "steps_asked": "steps"}
"""Columns of a results table that are read as one of a manifest, where there is none of that name."""
NAMED = 5
"""Columns that a note names; the others are counted."""


def pass_over(table: Table) -> Table:
    """The table without the columns that ask for nothing.

    Raises:
        ManifestError: as reading its rows does.
    """
    titles = [title.strip(" ") for title in table.header.cells]
    if table.header.problem or len(titles) > MAX_COLUMNS:
        return table
    names = [as_meant(title) if table.is_guarded else title for title in titles]
    if is_results_table(names):
        table = _ResultsTable.of(table, names)
        names = [title.strip(" ") for title in table.header.cells]
    nameless = {index for index, name in enumerate(names) if not name}
    if nameless and not any(_are_filled(row, nameless) for row in table.rows(())):
        kept = tuple(index for index in range(len(names)) if index not in nameless)
        return _Fewer(table, kept, "empty columns without a name")
    return table


def _are_filled(row: TableRow, columns: Collection[int]) -> bool:
    return any(row.cells[index].strip() for index in columns if index < len(row.cells))


def is_results_table(names: Collection[str]) -> bool:
    """Whether a header is that of a results table: it has `status`, and more that only such a table has."""
    return "status" in names and sum(name in RESERVED_COLUMNS for name in set(names)) > 1


@dataclass(frozen=True)
class _Fewer:
    """A table of some columns of another."""

    table: Table
    kept: tuple[int, ...]
    what: str

    @property
    def header(self) -> TableRow:
        return self._narrow(self.table.header)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.table.notes, f"passed over: {self.what}")

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
class _ResultsTable(_Fewer):
    """A results table as a manifest."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Table, names: list[str]) -> "_ResultsTable":
        kept = tuple(index for index, name in enumerate(_read_as(names)) if name not in RESERVED_COLUMNS)
        left = [name for name in _read_as(names) if name in RESERVED_COLUMNS]
        steps = "; steps where a pair is done" if "steps" in names else ""
        return cls(table, kept, f"columns of a results table ({some(left, NAMED)}){steps}", tuple(names))

    @property
    def header(self) -> TableRow:
        return super()._narrow(dataclasses.replace(self.table.header, cells=_read_as(self.names)))

    def _narrow(self, row: TableRow) -> TableRow:
        cells = [as_meant(cell) for cell in row.cells] if self.is_guarded else list(row.cells)
        told = dict(zip(self.names, cells, strict=False))
        if "steps" in told:
            cells[self.names.index("steps")] = _steps_asked(told)
        digest, output = told.get("options_digest"), told.get("output", "")
        return super()._narrow(dataclasses.replace(row, cells=cells, digest=digest, output=output))


def _read_as(names: Sequence[str]) -> list[str]:
    return [name if STANDS_FOR.get(name, name) in names else STANDS_FOR[name] for name in names]


def _steps_asked(told: Mapping[str, str]) -> str:
    """What a row asks for as steps: `steps` are that only where the pair is not done."""
    written = "" if told.get("status") == "succeeded" else told["steps"].strip()
    return written or told.get("steps_asked", "")
