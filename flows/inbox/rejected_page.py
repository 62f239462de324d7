"""The HTML page for a rejected manifest: its bad rows as a spreadsheet shows them, with the bad cells marked."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flows.inbox.templates import rendered
from flows.manifest.columns import REQUIRED_COLUMNS
from flows.manifest.spreadsheet_cells import SpreadsheetCells, as_opened, in_ranges
from flows.records.pairs import CellError, Manifest, RejectedRow
from flows.wording import MOST_NAMED, printable, shortened

HEADLINE = "Not accepted"
MOST_COLUMNS = 12
"""The most columns that are shown; those with a marked cell come first."""
MOST_PROBLEMS = 12
"""The most problems that are shown of one row."""
MOST_RANGES = 12
"""The most ranges of good rows that are shown."""
CELL_CHARS = 60
"""The most characters that are shown of a cell."""
SAMPLE_LINES, SAMPLE_CHARS = 6, 160
"""How much is shown of an unusable file, so that its owner recognises it."""
_OTHER_LINE = re.compile(r"(?<=\balready )((?:used )?on )line (\d+)")
"""Matches the mention of another line in a reason, to replace it with the row number of a spreadsheet."""
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class _Cell:
    text: str
    is_bad: bool


@dataclass(frozen=True)
class _Column:
    title: str
    letters: str | None


@dataclass(frozen=True)
class _Problem:
    cell: str
    reason: str
    found: str


@dataclass(frozen=True)
class _Row:
    number: str
    cells: tuple[_Cell, ...]
    problems: tuple[_Problem, ...]
    left: int
    line: str = ""
    """The text of a row that could not be split into cells."""


def page_of_file(name: str, reason: str, when: str, sha256: str | None, data: bytes | None) -> bytes:
    """Render the page for a file that cannot be used as a whole.

    Args:
        name: the name of the manifest.
        reason: what was expected, what was found and what to do.
        when: the time at which it was rejected.
        sha256: the SHA-256 of the file; None if it was not read.
        data: the bytes of the file; None if it was not read.
    """
    facts = {"rows": (), "sample": _sample(data or b""), "good_count": 0, "reason": printable(reason)}
    summary = "The file as a whole cannot be used."
    return rendered(
        "rejected.html.jinja",
        **_head(name, summary, when, sha256),
        **facts,
        good=(),
        has_more_good=False,
        word="",
        is_sheet=False,
    )


def page_of_rows(manifest: Manifest, name: str, reason: str, when: str, data: bytes, max_bytes: int) -> bytes:
    """Render the page for a manifest that has rows which cannot be used.

    Args:
        manifest: the parsed manifest.
        name: the name of the manifest.
        reason: the reason for the rejection, in one line.
        when: the time at which it was rejected.
        data: the bytes of the file.
        max_bytes: the limit on the size of the file after it is decompressed.
    """
    opened = as_opened(data, name, max_bytes)
    shown = manifest.rejected[:MOST_NAMED]
    columns, left = _columns(opened, shown)
    good = sorted(opened.number(pair.row) for pair in manifest.pairs)
    ranges = in_ranges(good)
    return rendered(
        "rejected.html.jinja",
        **_head(name, f"{reason}.", when, manifest.sha256),
        rows=[_row(row, opened, columns) for row in shown],
        columns=[_Column(_shown(title), opened.letters(title)) for title in columns],
        columns_left=left,
        bad_count=len(manifest.rejected),
        bad_left=len(manifest.rejected) - len(shown),
        is_sheet=opened.is_sheet,
        word=f"{opened.word}s" if len(manifest.pairs) > 1 else opened.word,
        good_count=len(good),
        good=ranges[:MOST_RANGES],
        has_more_good=len(ranges) > MOST_RANGES,
    )


def _head(name: str, summary: str, when: str, sha256: str | None) -> dict[str, object]:
    return {
        "manifest": printable(name),
        "headline": HEADLINE,
        "is_good": False,
        "summary": summary,
        "when": f"rejected at {when}",
        "sha256": sha256,
    }


def _columns(opened: SpreadsheetCells, rows: Sequence[RejectedRow]) -> tuple[list[str], int]:
    """Return the titles of the columns that are shown, in the file's order, and the number of the other columns."""
    marked = [error.column for row in rows for error in row.errors if error.column is not None]
    known = [title for title in dict.fromkeys((*marked, "id", *REQUIRED_COLUMNS)) if opened.index(title) is not None]
    places = dict.fromkeys(opened.index(title) for title in known[:MOST_COLUMNS])
    wanted = sorted({*places, *range(len(opened.titles))}, key=lambda place: (place not in places, place))
    chosen = sorted(place for place in wanted[:MOST_COLUMNS] if place is not None)
    return [opened.titles[place] for place in chosen], len(opened.titles) - len(chosen)


def _row(row: RejectedRow, opened: SpreadsheetCells, columns: Sequence[str]) -> _Row:
    cells = {opened.index(title): text for title, text in row.cells.items()}
    if not row.cells and len(row.errors) == 1:
        error = row.errors[0]
        problem = _problem(dataclasses.replace(error, value=""), row, opened)
        return _Row(str(opened.number(row.row)), (), (problem,), 0, printable(error.value.strip()) or " ")
    values = {opened.index(error.column): error.value for error in row.errors if error.column is not None}
    is_whole_row_bad = not values  # no problem names a column
    shown = tuple(
        _Cell(_shown(cells.get(place, values.get(place, ""))), is_whole_row_bad or place in values)
        for place in map(opened.index, columns)
    )
    problems = tuple(_problem(error, row, opened) for error in row.errors[:MOST_PROBLEMS])
    return _Row(str(opened.number(row.row)), shown, problems, max(0, len(row.errors) - MOST_PROBLEMS))


def _problem(error: CellError, row: RejectedRow, opened: SpreadsheetCells) -> _Problem:
    cell = opened.cell(row.row, error.column)
    name = "" if error.column is None else f"{_shown(error.column)}: "
    # A reason that quotes the bad value needs no second copy of it.
    is_quoted = not error.value.strip() or "got " in error.reason or repr(error.value) in error.reason
    reason = _OTHER_LINE.sub(lambda match: match[1] + opened.row_in_words(int(match[2])), error.reason)
    return _Problem(cell, printable(name + reason), "" if is_quoted else _shown(error.value.strip()))


def _shown(text: str) -> str:
    return printable(shortened(text, CELL_CHARS))


def _sample(data: bytes) -> str:
    """Return the first lines of a text file; empty for a binary one."""
    start = data[:4096]
    if _BINARY.search(start):
        return ""
    lines = start.decode(errors="replace").splitlines()[:SAMPLE_LINES]
    return "\n".join(printable(shortened(line, SAMPLE_CHARS)) for line in lines)
