"""Name rows and cells of a manifest as the program that its user opens it with does, such as `C7` in a spreadsheet.

A spreadsheet numbers rows, not lines: a cell with line breaks makes a row of several lines, and a line `sep=;` is not a
row. JSON lines and Parquet are not opened in spreadsheets: their cells are named by line or row and column name.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flows.manifest.csv_rows import CsvFile
from flows.manifest.formats import read_table
from flows.manifest.json_rows import JsonLines

_ALSO_CALLED = {"id": "pair_id"}
"""Maps a column of a manifest to its name in a results table that is used as a manifest."""


@dataclass(frozen=True)
class SpreadsheetCells:
    """The names of a file's rows and cells.

    Attributes:
        word: the word for a row: `row` or `line`.
        titles: the titles of the file's columns, in its order.
        rows: maps a line to its row in the spreadsheet; None if the file's format is not opened in spreadsheets.
    """

    word: str
    titles: tuple[str, ...]
    rows: Mapping[int, int] | None = field(default=None, repr=False)

    @property
    def is_sheet(self) -> bool:
        """Whether the file is opened in a spreadsheet, so that its columns have letters."""
        return self.rows is not None

    def row(self, line: int) -> int | None:
        """Return the number of the row that starts on a line; None if it is inside another row for a spreadsheet."""
        return line if self.rows is None else self.rows.get(line)

    def number(self, line: int) -> int:
        """Return the number that a row which starts on a line is shown by: that of the row, else that of the line."""
        row = self.row(line)
        return line if row is None else row

    def row_in_words(self, line: int) -> str:
        """Return the name of the row that starts on a line, such as `row 7`."""
        row = self.row(line)
        return f"line {line}" if row is None else f"{self.word} {row}"

    def letters(self, title: str) -> str | None:
        """Return the letters of a column; None if it has none."""
        index = self.index(title)
        return None if index is None or not self.is_sheet else column_letters(index)

    def cell(self, line: int, title: str | None) -> str:
        """Return the name of a cell; without a title, that of the row."""
        letters, row = None if title is None else self.letters(title), self.row(line)
        return f"{letters}{row}" if letters and row is not None else self.row_in_words(line)

    def index(self, title: str) -> int | None:
        """Return the index of a column, from 0; None if there is no such column."""
        names = [name.strip(" ") for name in self.titles]
        for name in (title.strip(" "), _ALSO_CALLED.get(title.strip(" "))):
            if name in names:
                return names.index(name)
        return None


def as_opened(data: bytes, name: str, max_bytes: int) -> SpreadsheetCells:
    """Return the names of the rows and cells of a manifest.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.
        max_bytes: the most bytes the file may have when decompressed.

    Raises:
        ManifestError: the file cannot be read, as in `read_table`.
    """
    table = read_table(data, name, max_bytes)
    titles = tuple(table.header.cells)
    if isinstance(table, CsvFile):
        has_separator_line = table.header.line > 1 and table.lines[0].lstrip('"').lower().startswith("sep=")
        return SpreadsheetCells(
            "row", titles, _sheet_rows(table.lines, table.separator, 1 if has_separator_line else 0)
        )
    return SpreadsheetCells("line" if isinstance(table, JsonLines) else "row", titles)


def column_letters(index: int) -> str:
    """Return the letters of a spreadsheet's column, counted from 0.

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
    """Format ascending numbers, with consecutive ones as ranges.

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


def _sheet_rows(lines: list[str], separator: str, skipped: int) -> dict[int, int]:
    """Map the lines on which a row starts to the rows of a spreadsheet, whose CSV reader tolerates any quotes."""
    rows: dict[int, int] = {}
    reader = csv.reader(iter(lines[skipped:]), delimiter=separator)
    line = 1
    try:
        for row, _ in enumerate(reader, start=1):
            rows[line + skipped] = row
            line = reader.line_num + 1
    except csv.Error:  # a cell exceeds csv's size limit: the rows after it have no number
        pass
    return rows
