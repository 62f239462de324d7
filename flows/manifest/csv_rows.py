"""CSV bytes -> a header and numbered rows. Knows nothing of pairs.

A quote that is never closed would make a CSV reader swallow the rest of the file. Here it costs the one
physical line it stands on: such a row is given back with its `problem`, and reading goes on at the next line.
"""

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from flows.errors import ManifestError

MAX_ROW_LINES = 50
"""A quoted cell may hold line breaks, but a row of more lines than this is taken for an unclosed quote."""
MAX_LINE_CHARS = 131_072
"""The csv module's own limit for one field."""
MAX_LINES = 5_000_000
"""Blank lines are free to write: this bounds the memory they take."""
STRAY_QUOTE = "unclosed or stray quote: quote the whole cell, and write a quote inside it twice"
SAVE_AS_UTF8 = "save it as UTF-8 (in Excel: 'CSV UTF-8')"
WORKBOOK = "save its sheet as 'CSV UTF-8'"
UNPACK = "unpack it"
OTHER_FILES = {
    b"PK\x03\x04": f"an Excel workbook, or another zip archive; {WORKBOOK}",
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook; {WORKBOOK}",
    b"\x1f\x8b": f"a gzip file; {UNPACK}",
    b"BZh": f"a bzip2 file; {UNPACK}",
    b"\xfd7zXZ": f"an xz file; {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a zstd file; {UNPACK}",
    b"%PDF-": "a PDF document; export its table as CSV",
    b"\x89PNG": "a PNG picture; name it in a manifest",
    b"\xff\xd8\xff": "a JPEG picture; name it in a manifest",
    b"PAR1": "a Parquet file; write it as CSV",
}
"""First bytes -> what such a file is, and what to do: files that are named .csv all the same."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row, and the physical line (from 1) on which it starts.

    `problem` says why it cannot be used: a stray quote or an endless line (then `cells` is empty), or another
    number of cells than the header has. `text` is the physical line of a row with a problem.
    """

    line: int
    cells: list[str]
    problem: str | None = None
    text: str = ""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file cut into physical lines, with its first row read."""

    lines: list[str]
    header: CsvRow
    header_lines: int

    def line_of_row(self, number: int) -> int | None:
        """The line of the n-th row, where that is told without reading the others: none of the lines has a quote."""
        first = self.header.line - 1 + self.header_lines
        if any('"' in line for line in self.lines):
            return None
        filled = (index for index in range(first, len(self.lines)) if not _is_blank(self.lines[index]))
        found = next(itertools.islice(filled, number - 1, None), None)
        return None if found is None else found + 1

    def rows(self, one_line: Collection[int]) -> Iterator[CsvRow]:
        """The rows under the header, in order, blank lines left out.

        Args:
            one_line: indices of the columns whose cells never hold a line break. A line break there, or a
                quote that is not written as CSV asks, is a stray quote, even if the quotes happen to pair up.
        """
        index, width = self.header.line - 1 + self.header_lines, len(self.header.cells)
        while index < len(self.lines):
            if _is_blank(self.lines[index]):
                index += 1
                continue
            row, line_count = _row_at(self.lines, index, width, one_line)
            yield row
            index += line_count


def read_csv(data: bytes, name: str) -> CsvFile:
    """The file, ready for its rows to be read.

    Raises:
        ManifestError: it is empty, not UTF-8, or has too many lines.
    """
    text = _decoded(data, name)
    if text.count("\n") > MAX_LINES or text.count("\r") > MAX_LINES:
        raise ManifestError(f"{name}: expected at most {MAX_LINES:,} lines, found more; split the file")
    lines = list(io.StringIO(text, newline=""))
    first = next((index for index, line in enumerate(lines) if not _is_blank(line)), None)
    if first is None:
        raise ManifestError(f"{name}: expected a header line and rows, found an empty file; write them")
    if problem := _length_problem(lines[first]):
        return CsvFile(lines, CsvRow(first + 1, [], problem, lines[first]), 1)
    cells, line_count = _parsed(lines, first) or ([], 1)
    return CsvFile(lines, CsvRow(first + 1, cells, None if cells else STRAY_QUOTE, lines[first]), line_count)


def _decoded(data: bytes, name: str) -> str:
    if found := next((kind for start, kind in OTHER_FILES.items() if data.startswith(start)), None):
        raise ManifestError(f"{name}: expected CSV text, found {found}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{name}: expected UTF-8 text, found UTF-16; {SAVE_AS_UTF8}")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(data, 0, error.start)) + 1
        raise ManifestError(
            f"{name} line {line}: expected UTF-8 text, found byte 0x{data[error.start]:02X} at byte offset"
            f" {error.start}, as in Latin-1 or Windows-1252 text; {SAVE_AS_UTF8}"
        ) from error


def _length_problem(line: str) -> str | None:
    if len(line) <= MAX_LINE_CHARS:
        return None
    return f"expected a line of at most {MAX_LINE_CHARS:,} characters, found {len(line):,}"


def _is_blank(line: str) -> bool:
    return not line.strip(" \t\r\n")


def _row_at(lines: list[str], index: int, width: int, one_line: Collection[int]) -> tuple[CsvRow, int]:
    """The row that starts at a line, and how many lines it takes."""
    line = lines[index]
    if problem := _length_problem(line):
        return CsvRow(index + 1, [], problem, line), 1
    cells, line_count = _parsed(lines, index) or ([], 0)
    text = line if line_count == 1 else "".join(lines[index : index + line_count])
    wrong_width = len(cells) != width
    if line_count == 0 or (line_count > 1 and wrong_width) or _has_stray_quote(cells, one_line, text):
        return CsvRow(index + 1, [], STRAY_QUOTE, line), 1
    if wrong_width:
        hint = "; put quotes around a cell that holds a comma" if len(cells) > width else ""
        return CsvRow(index + 1, cells, f"expected {width} cells, found {len(cells)}{hint}", line), 1
    return CsvRow(index + 1, cells), line_count


def _parsed(lines: list[str], index: int) -> tuple[list[str], int] | None:
    """The cells of the row that starts at a line, and how many lines it takes; None if a quote is open."""
    end = index + (MAX_ROW_LINES if '"' in lines[index] else 1)
    reader = csv.reader(lines[index:end], strict=True)
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
