"""Read JSON lines as a header and numbered rows: each line is an object whose keys are the columns.

Knows nothing of pairs.
"""

import itertools
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from flows.errors import ManifestError
from flows.manifest.cells import cell_of
from flows.manifest.csv_text import text_of_file
from flows.manifest.table import TableRow, is_empty

WANTED = "expected an object of names and texts or numbers on each line"
MOST_NAMES = 10_000
"""The most different keys that are collected from a file: more are not columns. A line with more is refused."""


@dataclass(frozen=True)
class JsonLines:
    """A file of JSON objects, with all of their keys as the header."""

    lines: list[str]
    header: TableRow
    notes: tuple[str, ...] = ()
    is_guarded: bool = False

    def line_of_row(self, number: int) -> int | None:
        """See `Table`."""
        filled = (index for index, line in enumerate(self.lines, start=1) if line.strip())
        return next(itertools.islice(filled, number - 1, None), None)

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:  # noqa: ARG002  # part of Table's interface
        """See `Table`; a key that an object does not have is an empty cell."""
        for number, line in enumerate(self.lines, start=1):
            if not line.strip():
                continue
            try:
                found = _object_of(line)
            except ValueError as error:
                yield TableRow(number, [], str(error), line)
                continue
            cells = [found.get(title, "") for title in self.header.cells]
            if not is_empty(cells):
                yield TableRow(number, cells)


def read_json_lines(data: bytes, name: str, max_bytes: int, *, may_be_long: bool = False) -> JsonLines:
    """Collect the keys of a JSON lines file and return it, ready for its rows to be read; see `text_of_file`.

    Raises:
        ManifestError: the file is not text, is a JSON list, or has more than `max_bytes` cells.
    """
    text = text_of_file(data, name, may_be_long=may_be_long)
    if text.lstrip().startswith("["):
        raise ManifestError(f"{name}: {WANTED}, found a list of them; write each on a line of its own, without commas")
    lines = text.split("\n")
    names: dict[str, None] = {}
    first_problem = None
    for line in filter(str.strip, lines):
        try:
            names |= dict.fromkeys(_object_of(line))
        except ValueError as error:
            first_problem = first_problem or str(error)
        if len(names) > MOST_NAMES:
            break
    if len(lines) * len(names) > max_bytes:
        raise ManifestError(f"{name}: expected at most {max_bytes:,} cells, found more; split it")
    return JsonLines(lines, TableRow(1, list(names), None if names else first_problem))


def _object_of(line: str) -> dict[str, str]:
    """Return the cells of a line by their keys.

    Raises:
        ValueError: the line is not an object of texts and numbers; the message says why.
    """
    try:
        # Numbers are kept as text: a seed may need all of its digits.
        found = json.loads(line, parse_int=str, parse_float=str, object_pairs_hook=_unique_keys)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{WANTED}, found no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{WANTED}, found {_kind(found)}")  # noqa: TRY004  # the file is wrong, not our call
    if wrong := next((name for name, value in found.items() if isinstance(value, dict | list)), None):
        raise ValueError(f"{wrong!a}: expected a text or a number, found {_kind(found[wrong])}")
    if not f"{line}".isascii() or "\\u" in line:
        _check_surrogates(found)
    return {name: cell_of(value) for name, value in found.items()}


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise ValueError(f"expected at most {MOST_NAMES:,} names on a line, found {len(pairs):,}")
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!a} is there twice: keep one of the two")
        values[name] = value
    return values


def _check_surrogates(found: dict[str, Any]) -> None:
    try:
        "".join(map(str, itertools.chain(*found.items()))).encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected text, found half of a letter (a lone surrogate); write it as UTF-8") from error


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a single value"
