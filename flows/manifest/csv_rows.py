"""CSV text -> a header and numbered rows. Knows nothing of pairs.

A quote that is never closed would make a CSV reader swallow the rest of the file. Here it costs the one
physical line it stands on: such a row is given back with its `problem`, and reading goes on at the next line.

Between cells stands a comma, or the `;` or tab of a spreadsheet's locale where the header leaves no doubt.
"""

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from flows.errors import ManifestError
from flows.manifest.csv_text import text_of_file
from flows.manifest.table import TableRow

MAX_ROW_LINES = 50
"""A quoted cell may hold line breaks, but a row of more lines than this is taken for an unclosed quote."""
MAX_LINE_CHARS = 131_072
"""The csv module's own limit for one field."""
STRAY_QUOTE = "unclosed or stray quote: quote the whole cell, and write a quote inside it twice"
BLANK_BEFORE_QUOTE = "a blank stands before the quote of a cell: remove blanks around the separators"
SEPARATORS = ",;\t"
TELLING = {"content", "style"}
"""Columns that tell the separator: under one of them alone, a header has both."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
"""As a text file has them, each with its end; io.StringIO would hold four bytes for every letter meanwhile."""
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
"""What Excel takes for the separator, in a line before the header."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file cut into physical lines, with its first row read."""

    lines: list[str]
    header: TableRow
    header_lines: int
    separator: str = ","
    notes: tuple[str, ...] = ()
    is_guarded: bool = True

    def line_of_row(self, number: int) -> int | None:
        """See `Table`: it is told where none of the lines has a quote."""
        first = self.header.line - 1 + self.header_lines
        if any('"' in line for line in self.lines):
            return None
        filled = (index for index in range(first, len(self.lines)) if not _is_blank(self.lines[index], self.separator))
        found = next(itertools.islice(filled, number - 1, None), None)
        return None if found is None else found + 1

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:
        """See `Table`. A line break in the `one_line` columns is a stray quote, even if the quotes happen to pair up.

        So is a quote there that is not written as CSV asks.
        """
        index = self.header.line - 1 + self.header_lines
        while index < len(self.lines):
            if _is_blank(self.lines[index], self.separator):
                index += 1
                continue
            row, line_count = self._row_at(index, one_line)
            yield row
            index += line_count

    def _row_at(self, index: int, one_line: Collection[int]) -> tuple[TableRow, int]:
        """The row that starts at a line, and how many lines it takes."""
        line = self.lines[index]
        if problem := _length_problem(line):
            return TableRow(index + 1, [], problem, line), 1
        cells, line_count = _parsed(self.lines, index, self.separator) or ([], 0)
        cells = _fitted(cells, self.header.cells)
        text = line if line_count == 1 else "".join(self.lines[index : index + line_count])
        width = len(self.header.cells)
        wrong_width = len(cells) != width
        if line_count == 0 or (line_count > 1 and wrong_width) or _has_stray_quote(cells, one_line, text):
            has_blank = re.search(rf'(^|{self.separator})[ \t]+"', line)
            return TableRow(index + 1, [], BLANK_BEFORE_QUOTE if has_blank else STRAY_QUOTE, line), 1
        if wrong_width:
            kind = {",": "comma", "\t": "tab"}.get(self.separator, "semicolon")
            hint = f"; put quotes around a cell that holds a {kind}" if len(cells) > width else ""
            return TableRow(index + 1, cells, f"expected {width} cells, found {len(cells)}{hint}", line), 1
        return TableRow(index + 1, cells), line_count


def read_csv(data: bytes, name: str, *, may_be_long: bool = False) -> CsvFile:
    """The file, ready for its rows to be read; see `text_of_file`.

    Raises:
        ManifestError: it is empty, not UTF-8, or has too many lines.
    """
    lines = _LINE.findall(text_of_file(data, name, may_be_long=may_be_long))
    first = _first_filled(lines, 0)
    said = _SEPARATOR_LINE.fullmatch(lines[first]) if first is not None else None
    if first is not None and said:
        first = _first_filled(lines, first + 1)
    if first is None:
        raise ManifestError(f"{name}: expected a header line and rows, found an empty file; write them")
    if problem := _length_problem(lines[first]):
        return CsvFile(lines, TableRow(first + 1, [], problem, lines[first]), 1)
    separator = said[1] if said else _separator(lines, first)
    cells, line_count = _parsed(lines, first, separator) or ([], 1)
    header = TableRow(first + 1, cells, None if cells else STRAY_QUOTE, lines[first])
    return CsvFile(lines, header, line_count, separator)


def _first_filled(lines: list[str], start: int) -> int | None:
    return next((index for index in range(start, len(lines)) if not _is_blank(lines[index], "")), None)


def _separator(lines: list[str], first: int) -> str:
    """The one separator under which a header has what it must have; where there is a doubt, a comma if it has one."""
    fitting = []
    for separator in SEPARATORS:
        cells, _ = _parsed(lines, first, separator) or ([], 1)
        if {cell.strip(" ") for cell in cells} >= TELLING:
            fitting.append(separator)
    if len(fitting) == 1:
        return fitting[0]
    return "," if fitting or "," in lines[first] else max(SEPARATORS, key=lines[first].count)


def _length_problem(line: str) -> str | None:
    if len(line) <= MAX_LINE_CHARS:
        return None
    return f"expected a line of at most {MAX_LINE_CHARS:,} characters, found {len(line):,}"


def _is_blank(line: str, separator: str) -> bool:
    """Whether a line says nothing: a spreadsheet writes an empty row as separators alone."""
    return not line.strip(f" \t\r\n{separator}")


def _fitted(cells: list[str], titles: list[str]) -> list[str]:
    """A row without empty cells beyond the last column, and with those of columns without a name at its end.

    Spreadsheets write such cells in some rows and leave them out in others.
    """
    width = len(titles)
    if len(cells) > width and not any(map(str.strip, cells[width:])):
        return cells[:width]
    if 0 < len(cells) < width and not any(map(str.strip, titles[len(cells) :])):
        return cells + [""] * (width - len(cells))
    return cells


def _parsed(lines: list[str], index: int, separator: str) -> tuple[list[str], int] | None:
    """The cells of the row that starts at a line, and how many lines it takes; None if a quote is open."""
    end = index + (MAX_ROW_LINES if '"' in lines[index] else 1)
    reader = csv.reader(lines[index:end], delimiter=separator, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None


def _has_stray_quote(cells: list[str], one_line: Collection[int], text: str) -> bool:
    """Whether a cell of the `one_line` columns holds a line break, or a quote not doubled in `text`."""
    if '"' not in text:
        return False
    suspects = [cell for index, cell in enumerate(cells) if index in one_line]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in suspects if '"' in cell]
    return any("\n" in cell or "\r" in cell for cell in suspects) or any(cell not in text for cell in quoted)
