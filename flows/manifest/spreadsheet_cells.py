"""Rows and cells of a manifest as the program calls them that its owner opens it with: `C7` in a spreadsheet.

A spreadsheet counts rows where a text editor counts lines: a cell with line breaks is in one row of several lines, and
a line `sep=;` is none. It shows JSON lines and Parquet to nobody; their cells are called by line or row and name.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flows.manifest.csv_rows import CsvFile
from flows.manifest.formats import read_table
from flows.manifest.json_rows import JsonLines

_ALSO_CALLED = {"id": "pair_id"}
"""Column of a manifest -> what a results table, handed in again, calls it."""


@dataclass(frozen=True)
class AsOpened:
    """How rows and cells are called.

    Attributes:
        word: for a row: `row` or `line`.
        titles: of the file's columns, in its order.
        rows: line -> row of the spreadsheet; None where the file is no matter of spreadsheets.
    """

    word: str
    titles: tuple[str, ...]
    rows: Mapping[int, int] | None = field(default=None, repr=False)

    @property
    def is_sheet(self) -> bool:
        """Whether columns have letters."""
        return self.rows is not None

    def row(self, line: int) -> int | None:
        """The number of the row that starts on a line; None where its spreadsheet has it within another row."""
        return line if self.rows is None else self.rows.get(line)

    def row_in_words(self, line: int) -> str:
        """As `row 7`."""
        row = self.row(line)
        return f"line {line}" if row is None else f"{self.word} {row}"

    def letters(self, title: str) -> str | None:
        """The letters of a column; None where it has none."""
        index = self.index(title)
        return None if index is None or not self.is_sheet else column_letters(index)

    def cell(self, line: int, title: str | None) -> str:
        """A cell's name; without a title, that of the row."""
        letters, row = None if title is None else self.letters(title), self.row(line)
        return f"{letters}{row}" if letters and row is not None else self.row_in_words(line)

    def index(self, title: str) -> int | None:
        """A column's place, from 0."""
        names = [name.strip(" ") for name in self.titles]
        for name in (title.strip(" "), _ALSO_CALLED.get(title.strip(" "))):
            if name in names:
                return names.index(name)
        return None


def as_opened(data: bytes, name: str, max_bytes: int) -> AsOpened:
    """How the rows and cells of a manifest are called.

    Args:
        data: of the file.
        name: of it, for messages.
        max_bytes: that may be in it, unpacked.

    Raises:
        ManifestError: as `read_table`.
    """
    table = read_table(data, name, max_bytes)
    titles = tuple(table.header.cells)
    if isinstance(table, CsvFile):
        is_said = table.header.line > 1 and table.lines[0].lstrip('"').lower().startswith("sep=")
        return AsOpened("row", titles, _sheet_rows(table.lines, table.separator, 1 if is_said else 0))
    return AsOpened("line" if isinstance(table, JsonLines) else "row", titles)


def column_letters(index: int) -> str:
    """What a spreadsheet calls its columns, from 0.

    >>> [column_letters(index) for index in (0, 25, 26, 701, 702)]
    ['A', 'Z', 'AA', 'ZZ', 'AAA']
    """
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def in_ranges(numbers: Iterable[int]) -> list[str]:
    """Numbers in order, those in a row together.

    >>> in_ranges([2, 3, 4, 6, 8, 9])
    ['2–4', '6', '8–9']
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [f"{first}–{last}" if last > first else str(first) for first, last in ranges]


def _sheet_rows(lines: list[str], separator: str, left_out: int) -> dict[int, int]:
    """Line -> row of the spreadsheet, of the lines on which a row starts; it takes any quotes as they come."""
    rows: dict[int, int] = {}
    reader = csv.reader(iter(lines[left_out:]), delimiter=separator)
    line = 1
    try:
        for row, _ in enumerate(reader, start=1):
            rows[line + left_out] = row
            line = reader.line_num + 1
    except csv.Error:  # a cell beyond all bounds: what follows has no number
        pass
    return rows
