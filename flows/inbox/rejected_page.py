"""The page that says why a manifest was rejected: its bad rows as a spreadsheet has them, the cells marked."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flows.inbox.templates import rendered
from flows.manifest.columns import REQUIRED_COLUMNS
from flows.manifest.spreadsheet_cells import AsOpened, as_opened, in_ranges
from flows.records.pairs import CellError, Manifest, RejectedRow
from flows.wording import MOST_NAMED, printable, shortened

HEADLINE = "Not accepted"
MOST_COLUMNS = 12
"""Of a row; those with a mark come first."""
MOST_PROBLEMS = 12
"""Of a row."""
MOST_RANGES = 12
CELL_CHARS = 60
SAMPLE_LINES, SAMPLE_CHARS = 6, 160
"""Of a file that cannot be used, for its owner to know it again."""
_ELSEWHERE = re.compile(r"(?<=\balready )((?:used )?on )line (\d+)")
"""What a reason says of another row of the file."""
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
    """Of a row whose cells cannot be told."""


def page_of_file(name: str, reason: str, when: str, sha256: str | None, data: bytes | None) -> bytes:
    """The page for a file that cannot be used as a whole.

    Args:
        name: of the manifest.
        reason: what was expected, what was found and what to do.
        when: it was rejected.
        sha256: of the file; None where it was not read.
        data: of the file; None as well.
    """
    facts = {"rows": (), "sample": _sample(data or b""), "good_count": 0, "reason": printable(reason)}
    said = "The file as a whole cannot be used."
    return rendered(
        "rejected.html.jinja",
        **_head(name, said, when, sha256),
        **facts,
        good=(),
        has_more_good=False,
        word="",
        is_sheet=False,
    )


def page_of_rows(manifest: Manifest, name: str, reason: str, when: str, data: bytes, max_bytes: int) -> bytes:
    """The page for a manifest of which some rows cannot be used.

    Args:
        manifest: as read.
        name: of it.
        reason: in one line.
        when: it was rejected.
        data: of the file.
        max_bytes: that may be in it, unpacked.
    """
    opened = as_opened(data, name, max_bytes)
    shown = manifest.rejected[:MOST_NAMED]
    columns, left = _columns(opened, shown)
    good = sorted(opened.row(pair.row) or pair.row for pair in manifest.pairs)
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


def _head(name: str, said: str, when: str, sha256: str | None) -> dict[str, object]:
    return {
        "manifest": printable(name),
        "headline": HEADLINE,
        "is_good": False,
        "said": said,
        "when": f"rejected at {when}",
        "sha256": sha256,
    }


def _columns(opened: AsOpened, rows: Sequence[RejectedRow]) -> tuple[list[str], int]:
    """The titles of the columns that are shown, in the file's order, and how many are not."""
    marked = [error.column for row in rows for error in row.errors if error.column is not None]
    known = [title for title in dict.fromkeys((*marked, "id", *REQUIRED_COLUMNS)) if opened.index(title) is not None]
    places = dict.fromkeys(opened.index(title) for title in known[:MOST_COLUMNS])
    wanted = sorted({*places, *range(len(opened.titles))}, key=lambda place: (place not in places, place))
    chosen = sorted(place for place in wanted[:MOST_COLUMNS] if place is not None)
    return [opened.titles[place] for place in chosen], len(opened.titles) - len(chosen)


def _row(row: RejectedRow, opened: AsOpened, columns: Sequence[str]) -> _Row:
    cells = {opened.index(title): text for title, text in row.cells.items()}
    if not row.cells and len(row.errors) == 1:
        error = row.errors[0]
        told = _problem(dataclasses.replace(error, value=""), row, opened)
        return _Row(_number(row, opened), (), (told,), 0, printable(error.value.strip()) or " ")
    values = {opened.index(error.column): error.value for error in row.errors if error.column is not None}
    is_whole = not values  # what is wrong is the row
    shown = tuple(
        _Cell(_shown(cells.get(place, values.get(place, ""))), is_whole or place in values)
        for place in map(opened.index, columns)
    )
    problems = tuple(_problem(error, row, opened) for error in row.errors[:MOST_PROBLEMS])
    return _Row(_number(row, opened), shown, problems, max(0, len(row.errors) - MOST_PROBLEMS))


def _number(row: RejectedRow, opened: AsOpened) -> str:
    number = opened.row(row.row)
    return str(row.row if number is None else number)


def _problem(error: CellError, row: RejectedRow, opened: AsOpened) -> _Problem:
    cell = opened.cell(row.row, error.column)
    name = "" if error.column is None else f"{_shown(error.column)}: "
    # A reason that quotes what was found needs no more of it.
    is_told = not error.value.strip() or "got " in error.reason or repr(error.value) in error.reason
    reason = _ELSEWHERE.sub(lambda told: told[1] + opened.row_in_words(int(told[2])), error.reason)
    return _Problem(cell, printable(name + reason), "" if is_told else _shown(error.value.strip()))


def _shown(text: str) -> str:
    return printable(shortened(text, CELL_CHARS))


def _sample(data: bytes) -> str:
    """The first lines of a text; nothing of any other file."""
    start = data[:4096]
    if _BINARY.search(start):
        return ""
    lines = start.decode(errors="replace").splitlines()[:SAMPLE_LINES]
    return "\n".join(printable(shortened(line, SAMPLE_CHARS)) for line in lines)
