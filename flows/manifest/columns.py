"""Parse the header of a manifest: which column sets what, and everything that is wrong with the names.

The columns are `content` and `style`; optionally `id`, the addresses of additional images such as masks, and any option
of StylizeOptions, which then applies to that row only (`size` is an alias of `size_px`; an empty cell means the run's
value). Every other column is copied to the results table, unless its name looks like a misspelling of one of these.
"""

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flows.errors import ManifestError
from flows.manifest.table import TableRow
from flows.records.columns import RESULT_COLUMNS
from flows.records.pairs import OTHER_PICTURES
from flows.wording import problem_lines, quoted
from nst_core.images.files.formats import endings
from nst_core.options import StylizeOptions

REQUIRED_COLUMNS = ("content", "style")
RUN_LEVEL_NAMES = ("backbone", "device", "precision", "weights", "output")
"""Settings that are chosen once per run, on the command line, and cannot be columns."""
OPTIONS = tuple(StylizeOptions.model_fields)
FIELDS = {name: name for name in (*REQUIRED_COLUMNS, "id", *OTHER_PICTURES, *OPTIONS)} | {"size": "size_px"}
"""Maps the name of a column to the field that it sets."""
RESERVED_COLUMNS = tuple(column for column in RESULT_COLUMNS if column not in FIELDS)
"""Columns of the results table that no column of a manifest may be named like."""
MAX_COLUMNS = 1000
MAX_TITLE_CHARS = 200
LOOKALIKE_CUTOFF = 0.83
"""The difflib ratio from which a name counts as misspelt: n_steps has 0.833 to steps, style_file less to any name."""
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ANY_SEPARATOR = re.compile(r"[,;\t|]")


@dataclass(frozen=True)
class Column:
    """A column of a manifest.

    Attributes:
        title: the title as written in the file.
        field: the field that the column sets; None for an extra column.
    """

    title: str
    field: str | None

    @property
    def rides_along(self) -> bool:
        """Whether the cells are copied to the results table: yes, unless the table itself has such a column."""
        return self.field is None or self.title.strip(" ") not in (*RESULT_COLUMNS, "id")


def columns_of(header: TableRow, name: str) -> tuple[Column, ...]:
    """Return the columns of a manifest's header.

    Raises:
        ManifestError: the header is invalid; the message names everything that is wrong with it.
    """
    if problems := _problems(header):
        raise ManifestError(f"{name} line {header.line}: " + "; ".join(problem_lines(problems)))
    return tuple(Column(title, FIELDS.get(title.strip(" "))) for title in header.cells)


def _problems(header: TableRow) -> list[str]:
    names = [title.strip(" ") for title in header.cells]
    missing = [column for column in REQUIRED_COLUMNS if column not in names]
    separator = max(";\t|", key=header.text.count)
    commas = header.text.count(",")
    if missing and len(header.cells) <= commas + 1 and header.text.count(separator) > commas:
        return [f"expected commas, found {separator!r} as the separator; save it with commas"]
    if header.problem:
        return [f"the header cannot be read: {header.problem}"]
    if len(names) > MAX_COLUMNS:
        return [f"expected at most {MAX_COLUMNS:,} columns, found {len(names):,}; remove those that are not needed"]
    if missing and (reason := _other_than_names(names)):
        return [reason]
    lookalikes = {column: _lookalike(column, names) for column in missing}
    problems = [_missing_problem(column, lookalike) for column, lookalike in lookalikes.items()]
    told = tuple(f"column {quoted(name)} looks like {column!r}" for column, name in lookalikes.items())
    wrong = filter(None, map(_title_problem, itertools.count(1), header.cells))
    problems += (problem for problem in wrong if not problem.startswith(told))
    problems += [f"column {quoted(n)} is there {k} times" for n, k in Counter(names).items() if n and k > 1]
    if "size" in names and "size_px" in names:
        problems.append("'size' is another name of 'size_px': keep one of the two")
    return problems


def _other_than_names(names: Sequence[str]) -> str | None:
    """Return what the first line is if it is no header of single names: a pair, or several names in one cell."""
    for name in names:
        parts = [part for part in map(str.strip, _ANY_SEPARATOR.split(name)) if part]
        if len(parts) > 1 and not FIELDS.keys().isdisjoint(parts):
            return (
                f"{quoted(name)} is a single cell, but holds several names: part all cells by the same separator, "
                "and put no quotes around a whole row"
            )
    picture = next((name for name in names if name.casefold().endswith(tuple(endings()))), None)
    if picture is not None:
        return (
            f"expected a header, found a row with {quoted(picture)}: write the columns' names above it: content,style"
        )
    return None


def _lookalike(column: str, names: Sequence[str]) -> str | None:
    """Return the title, of those that set nothing, that is most like a missing column's name."""
    plain = {_plain(name): name for name in names if name not in FIELDS}
    plain = {spelling: name for spelling, name in plain.items() if spelling == column or spelling not in FIELDS}
    close = difflib.get_close_matches(column, plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def _missing_problem(column: str, lookalike: str | None) -> str:
    hint = f": column {quoted(lookalike)} looks like {column!r}; write that" if lookalike else "; add it to the header"
    return f"expected a column {column!r}, found none{hint}"


def _title_problem(number: int, title: str) -> str | None:
    name = title.strip(" ")
    if not name:
        return f"column {number} has no name; name it or remove it"
    if CONTROL_CHARACTER.search(title):
        hint = "; the file may be UTF-16: save it as UTF-8" if "\0" in title else ""
        return f"the name of column {number}, {quoted(title)}, holds a control character{hint}"
    if len(name) > MAX_TITLE_CHARS:
        return f"the name of column {number}, {quoted(name)}, has more than {MAX_TITLE_CHARS} characters; shorten it"
    if name in FIELDS:
        return None
    plain = _plain(name)
    if plain in RUN_LEVEL_NAMES:
        return f"column {quoted(name)}: chosen once per run on the command line, not per row; remove the column"
    if plain in RESERVED_COLUMNS:
        return f"column {quoted(name)} is written by the results table itself; rename the column"
    swapped = [field for field in FIELDS if sorted(field) == sorted(plain)]
    close = swapped or difflib.get_close_matches(plain, FIELDS, n=1, cutoff=LOOKALIKE_CUTOFF)
    if close:
        return f"column {quoted(name)} looks like {close[0]!r}; write that, or rename it if it is something else"
    return None


def _plain(name: str) -> str:
    return re.sub(r"[-\s]", "_", name.casefold())
