"""Read CSV as a header and numbered rows. Knows nothing of pairs.

An unclosed quote would make a CSV reader swallow the rest of the file. Here it costs only the physical line that it is
on: that row is returned with its `problem`, and reading goes on at the next line.

The separator is a comma, or a `;` or tab, as spreadsheets in some locales write, if the header is unambiguous.
"""

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from flows.errors import ManifestError
from flows.manifest.csv_text import text_of_file
from flows.manifest.table import TableRow, is_empty

MAX_ROW_LINES = 50
"""A quoted cell may contain line breaks, but a row of more lines than this is taken for an unclosed quote."""
MAX_LINE_CHARS = 131_072
"""The csv module's default limit on the size of one field."""
STRAY_QUOTE = "unclosed or stray quote: quote the whole cell, and write a quote inside it twice"
BLANK_BEFORE_QUOTE = "a blank stands before the quote of a cell: remove blanks around the separators"
SEPARATORS = ",;\t"
DETECTING_COLUMNS = {"content", "style"}
"""The columns by which the separator is detected: a header contains both only if it is split at the right one."""
MOST_TITLES = 20
"""The lines at the top of a file among which its header is looked for, to tell the user that it has to come first."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
"""A line with its line ending, as text files are split; io.StringIO would take four bytes per character meanwhile."""
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
"""The line before the header by which Excel is told the separator."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file split into physical lines, with its header parsed."""

    lines: list[str]
    header: TableRow
    header_lines: int
    separator: str = ","
    notes: tuple[str, ...] = ()
    is_guarded: bool = True

    def line_of_row(self, number: int) -> int | None:
        """See `Table`. Returns None if any line contains a quote, as a row may then span several lines."""
        first = self.header.line - 1 + self.header_lines
        if any('"' in line for line in self.lines):
            return None
        filled = (index for index in range(first, len(self.lines)) if not _is_blank(self.lines[index], self.separator))
        nth = next(itertools.islice(filled, number - 1, None), None)
        return None if nth is None else nth + 1

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:
        """See `Table`.

        A line break in the `one_line` columns counts as a stray quote, even if the quotes happen to pair up. So does a
        quote in them that is not escaped as CSV requires.
        """
        index = self.header.line - 1 + self.header_lines
        while index < len(self.lines):
            if _is_blank(self.lines[index], self.separator):
                index += 1
                continue
            row, line_count = self._row_at(index, one_line)
            if row is not None:
                yield row
            index += line_count

    def _row_at(self, index: int, one_line: Collection[int]) -> tuple[TableRow | None, int]:
        """Return the row that starts at a line, None if it is empty, and the number of lines it occupies."""
        line = self.lines[index]
        if problem := _length_problem(line):
            return TableRow(index + 1, [], problem, line), 1
        cells, line_count = _parsed(self.lines, index, self.separator) or ([], 0)
        if line_count == 1 and is_empty(cells):
            return None, 1  # programs that quote every cell write an empty row as "",""
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
    """Parse the header of a CSV file and return the file, ready for its rows to be read; see `text_of_file`.

    Raises:
        ManifestError: the file is empty, not text, or has too many lines.
    """
    lines = _LINE.findall(text_of_file(data, name, may_be_long=may_be_long))
    first = _first_filled(lines, 0)
    declared = _SEPARATOR_LINE.fullmatch(lines[first]) if first is not None else None
    if first is not None and declared:
        first = _first_filled(lines, first + 1)
    if first is None:
        raise ManifestError(f"{name}: expected a header line and rows, found an empty file; write them")
    if problem := _length_problem(lines[first]):
        return CsvFile(lines, TableRow(first + 1, [], problem, lines[first]), 1)
    separator = declared[1] if declared else _separator(lines, first)
    cells, line_count = _parsed(lines, first, separator) or ([], 1)
    problem = _titles_above(lines, first, cells) if cells else STRAY_QUOTE
    header = TableRow(first + 1, cells, problem, lines[first])
    return CsvFile(lines, header, line_count, separator)


def _first_filled(lines: list[str], start: int) -> int | None:
    return next((index for index in range(start, len(lines)) if not _is_blank(lines[index], "")), None)


def _separator(lines: list[str], first: int) -> str:
    """Return the one separator that gives a header its required columns; if ambiguous, a comma if there is one."""
    fitting = []
    for separator in SEPARATORS:
        cells, _ = _parsed(lines, first, separator) or ([], 1)
        if _names(cells) >= DETECTING_COLUMNS:
            fitting.append(separator)
    if len(fitting) == 1:
        return fitting[0]
    return "," if fitting or "," in lines[first] else max(SEPARATORS, key=lines[first].count)


def _titles_above(lines: list[str], first: int, cells: list[str]) -> str | None:
    """Return what is wrong if a title, or merged cells, stand above the line with the names of the columns."""
    if DETECTING_COLUMNS & _names(cells):
        return None
    for index in range(first + 1, min(first + MOST_TITLES, len(lines))):
        for separator in SEPARATORS:
            below, _ = _parsed(lines, index, separator) or ([], 1)
            if _names(below) >= DETECTING_COLUMNS:
                return f"the names of the columns are on line {index + 1}: remove the lines above it"
    return None


def _names(cells: list[str]) -> set[str]:
    return {cell.strip(" ") for cell in cells}


def _length_problem(line: str) -> str | None:
    if len(line) <= MAX_LINE_CHARS:
        return None
    return f"expected a line of at most {MAX_LINE_CHARS:,} characters, found {len(line):,}"


def _is_blank(line: str, separator: str) -> bool:
    """Return whether a line is an empty row, which spreadsheets write as a line of separators."""
    return not line.strip(f" \t\r\n{separator}")


def _fitted(cells: list[str], titles: list[str]) -> list[str]:
    """Return a row's cells without empty ones beyond the last column, and with missing ones of unnamed last columns.

    Spreadsheets write such cells in some rows and leave them out in others.
    """
    width = len(titles)
    if len(cells) > width and not any(map(str.strip, cells[width:])):
        return cells[:width]
    if 0 < len(cells) < width and not any(map(str.strip, titles[len(cells) :])):
        return cells + [""] * (width - len(cells))
    return cells


def _parsed(lines: list[str], index: int, separator: str) -> tuple[list[str], int] | None:
    """Return the cells of the row that starts at a line and the number of its lines; None if a quote is not closed."""
    end = index + (MAX_ROW_LINES if '"' in lines[index] else 1)
    reader = csv.reader(lines[index:end], delimiter=separator, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None


def _has_stray_quote(cells: list[str], one_line: Collection[int], text: str) -> bool:
    """Return whether a cell of the `one_line` columns contains a line break, or a quote that `text` has not doubled."""
    if '"' not in text:
        return False
    suspects = [cell for index, cell in enumerate(cells) if index in one_line]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in suspects if '"' in cell]
    return any("\n" in cell or "\r" in cell for cell in suspects) or any(cell not in text for cell in quoted)
