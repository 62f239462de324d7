"""CSV -> Manifest, with every bad row named. No I/O.

A file that cannot be used as a whole raises one ManifestError that names all that is wrong with its header.
A row that cannot be used becomes a RejectedRow that names all that is wrong with its cells; the others go on.

Columns: `content` and `style`, perhaps `id`, and any option of StylizeOptions for this row alone (`size` is
another name of `size_px`; an empty cell leaves the option to the run). Every other column rides along into
the results table, unless its name looks like a misspelt one of these.
"""

import difflib
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flows.errors import ManifestError
from flows.limits import MAX_BYTES, MAX_ROWS
from flows.manifest.csv_rows import CsvRow, read_csv
from flows.records import RESULT_COLUMNS, CellError, Manifest, PairSpec, RejectedRow, short_digest
from flows.wording import option_errors, shortened, shown
from nst_core.options import StylizeOptions

REQUIRED_COLUMNS = ("content", "style")
MAX_CELL_CHARS = 4096
RUN_LEVEL_NAMES = ("backbone", "device", "precision", "weights", "output")
"""Chosen once per run, on the command line."""
OPTIONS = tuple(StylizeOptions.model_fields)
FIELDS = {name: name for name in (*REQUIRED_COLUMNS, "id", *OPTIONS)} | {"size": "size_px"}
"""Column name -> what it sets."""
RESERVED_COLUMNS = tuple(column for column in RESULT_COLUMNS if column not in FIELDS)
"""Columns that the results table writes itself."""
LOOKALIKE_CUTOFF = 0.83
"""difflib's ratio from which a name counts as a misspelt one: n_steps has 0.833 to steps, style_file less."""

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ID_RULE = "expected 1 to 100 of the characters A-Z a-z 0-9 . _ -, a letter or digit first and no dot last"
_STEM_CHARS = 43
"""Of each picture's name in a made id, which so fits 100 characters with two dashes and 12 digits."""
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse_manifest(
    data: bytes,
    uri: str,
    defaults: StylizeOptions,
    *,
    base: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
) -> Manifest:
    """The manifest's pairs and its rejected rows.

    Args:
        data: the CSV file, byte for byte.
        uri: its address, an absolute local path or `s3://bucket/key`.
        defaults: the run's options; a row's own go on top.
        base: the folder that relative addresses start from; by default the manifest's own.
        overrides: options that go on top of every row's own, as a retry may ask for.
        max_rows: a file of more is refused.
        max_bytes: a file of more is refused.

    Raises:
        ManifestError: the file as a whole cannot be used.
    """
    name = uri.rstrip("/").rpartition("/")[2]
    if len(data) > max_bytes:
        raise ManifestError(f"{name}: expected at most {max_bytes:,} bytes, found {len(data):,}; split it")
    file = read_csv(data, name)
    columns = _columns(file.header, name)
    reader = _RowReader(columns, defaults, os.path.dirname(uri) if base is None else base, overrides or {})
    pairs: list[PairSpec] = []
    rejected: list[RejectedRow] = []
    for row in file.rows(one_line=[index for index, column in enumerate(columns) if column.field]):
        if len(pairs) + len(rejected) == max_rows:
            raise ManifestError(f"{name} line {row.line}: expected {max_rows:,} rows at most; split the file")
        outcome = reader.read(row)
        if isinstance(outcome, PairSpec):
            pairs.append(outcome)
        else:
            rejected.append(outcome)
    if not pairs and not rejected:
        raise ManifestError(f"{name}: expected rows under the header, found none; write one row per pair")
    extra_columns = tuple(column.title for column in columns if column.field is None)
    return Manifest(uri, hashlib.sha256(data).hexdigest(), extra_columns, tuple(pairs), tuple(rejected))


def resolved_address(address: str, base: str) -> str:
    """A cell's address as an absolute local path or `s3://bucket/key`; a relative one starts from `base`.

    Raises:
        ValueError: it is none of these; the message says what was expected.
    >>> resolved_address("../images/cat.jpg", "/data/manifests")
    '/data/images/cat.jpg'
    >>> resolved_address("cat.jpg", "s3://bucket/manifests")
    's3://bucket/manifests/cat.jpg'
    """
    wanted = "expected a local path or s3://bucket/key"
    if not address:
        raise ValueError(f"{wanted}, the cell is empty")
    if address.removeprefix("s3://").lower().startswith("arn:"):
        raise ValueError(f"{wanted}, got an ARN")
    if "::" in address:
        raise ValueError(f"{wanted}, got a chain of addresses ('::')")
    if address.startswith("~"):
        raise ValueError(f"{wanted}, got '~'; write the folder's full path")
    is_s3 = address.startswith("s3://")
    scheme = _SCHEME.match(address)
    if scheme and not is_s3:
        raise ValueError(f"{wanted}, got an address that starts with {scheme[0]!r}")
    if is_s3:
        return _checked_s3(address)
    if base.startswith("s3://") and not os.path.isabs(address):
        return _checked_s3(f"{base.rstrip('/')}/{address}")
    return os.path.normpath(os.path.join(base, address))


def _checked_s3(address: str) -> str:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ValueError(f"expected s3://bucket/key, got no {'key' if bucket else 'bucket'}")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"expected s3://bucket/key, got {bucket!r}, which is no bucket's name")
    if "?" in key or "#" in key:
        raise ValueError("expected an S3 key without '?' and '#'; copy the object to such a key")
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ValueError("expected an S3 key without '.', '..' or empty segments; write the key in full")
    return address


@dataclass(frozen=True)
class _Column:
    """A column: its title as written, and what it sets (None: an extra column)."""

    title: str
    field: str | None


def _columns(header: CsvRow, name: str) -> tuple[_Column, ...]:
    """The header's columns, or one ManifestError with all that is wrong with it."""
    names = [title.strip(" ") for title in header.cells]
    missing = [column for column in REQUIRED_COLUMNS if column not in names]
    separator = max(";\t|", key=header.text.count)
    if missing and header.text.count(separator) > header.text.count(","):
        problems = [f"expected commas, found {separator!r} as the separator; save it with commas"]
    elif header.problem:
        problems = [f"the header cannot be read: {header.problem}"]
    else:
        problems = [_missing_problem(column, names) for column in missing]
        problems += filter(None, map(_title_problem, itertools.count(1), header.cells))
        problems += [f"column {n!r} is there {k} times" for n, k in Counter(names).items() if n and k > 1]
        if "size" in names and "size_px" in names:
            problems.append("'size' is another name of 'size_px': keep one of the two")
    if problems:
        raise ManifestError(f"{name} line {header.line}: " + "; ".join(problems))
    return tuple(_Column(title, FIELDS.get(title.strip(" "))) for title in header.cells)


def _missing_problem(column: str, names: Sequence[str]) -> str:
    plain = {_plain(name): name for name in names if name not in FIELDS}
    close = difflib.get_close_matches(column, plain, n=1, cutoff=0.6)
    hint = f": column {plain[close[0]]!r} looks like {column!r}" if close else "; add it to the header"
    return f"expected a column {column!r}, found none{hint}"


def _title_problem(number: int, title: str) -> str | None:
    name = title.strip(" ")
    if not name:
        return f"column {number} has no name; name it or remove it"
    if _CONTROL_CHARACTER.search(title):
        hint = "; the file may be UTF-16: save it as UTF-8" if "\0" in title else ""
        return f"the name of column {number}, {shown(title)}, holds a control character{hint}"
    plain = _plain(name)
    if name in FIELDS:
        return None
    if plain in RUN_LEVEL_NAMES:
        return f"column {name!r}: chosen once per run on the command line, not per row; remove the column"
    if plain in RESERVED_COLUMNS:
        return f"column {name!r} is written by the results table itself; rename the column"
    swapped = [field for field in FIELDS if sorted(field) == sorted(plain)]
    close = swapped or difflib.get_close_matches(plain, FIELDS, n=1, cutoff=LOOKALIKE_CUTOFF)
    if close:
        return f"column {name!r} looks like {close[0]!r}; write that, or rename it if it is something else"
    return None


def _plain(name: str) -> str:
    return re.sub(r"[-\s]", "_", name.casefold())


@dataclass(frozen=True)
class _RowOptions:
    """A row's options: resolved, and as given by the row alone; or what is wrong with them."""

    options: StylizeOptions
    given: dict[str, Any]
    errors: tuple[CellError, ...] = ()


class _RowReader:
    """Reads one row after the other; keeps the ids that are taken, and the options that many rows share."""

    def __init__(
        self, columns: Sequence[_Column], defaults: StylizeOptions, base: str, overrides: Mapping[str, Any]
    ) -> None:
        self._columns, self._defaults, self._base, self._overrides = columns, defaults, base, overrides
        self._titles = {column.field: column.title for column in columns if column.field}
        self._option_names = [name for name in self._titles if name in OPTIONS]
        self._options: dict[tuple[str, ...], _RowOptions] = {}
        self._ids: dict[str, tuple[str, int]] = {}
        self._pairs: dict[str, int] = {}

    def read(self, row: CsvRow) -> PairSpec | RejectedRow:
        cells = {column.title: cell for column, cell in zip(self._columns, row.cells, strict=False)}
        if row.problem:
            return RejectedRow(row.line, (CellError(None, shortened(row.text), row.problem),), cells)
        errors: list[CellError] = []
        values: dict[str, str] = {}  # of the fields; a cell that is no usable text is left out
        extra: dict[str, str] = {}
        for column, cell in zip(self._columns, row.cells, strict=True):
            text = cell.strip(" ") if column.field else cell
            if problem := _text_problem(text, is_extra=column.field is None):
                errors.append(CellError(column.title, shortened(text), problem))
            elif column.field:
                values[column.field] = text
            else:
                extra[column.title] = text
        content, style = self._address("content", values, errors), self._address("style", values, errors)
        option_cells = tuple(values.get(name, "") for name in self._option_names)
        if option_cells not in self._options:
            self._options[option_cells] = self._parsed_options(option_cells)
        chosen = self._options[option_cells]
        errors += chosen.errors
        pair_id = values.get("id", "")
        if pair_id:
            errors += self._claim(pair_id, row.line)
        elif not errors:
            written = [os.path.normpath(values["content"]), os.path.normpath(values["style"]), chosen.given]
            pair_id, duplicate = self._made_id([content, style, chosen.given], written, row.line)
            errors += duplicate
        if errors:
            return RejectedRow(row.line, tuple(errors), cells)
        cells_as_written = values["content"], values["style"]
        return PairSpec(row.line, pair_id, content, style, chosen.options, extra, *cells_as_written)

    def _address(self, field: str, values: dict[str, str], errors: list[CellError]) -> str:
        cell = values.get(field)
        if cell is None:
            return ""
        try:
            return resolved_address(cell, self._base)
        except ValueError as error:
            errors.append(CellError(self._titles[field], shortened(cell), str(error)))
            return ""

    def _parsed_options(self, cells: tuple[str, ...]) -> _RowOptions:
        given = {name: cell for name, cell in zip(self._option_names, cells, strict=True) if cell}
        try:
            options = self._defaults.overridden(given)
            # What the row itself gives is part of a made id, which a retry must not change.
            own = options.model_dump(mode="json", include=set(given))
            return _RowOptions(options.overridden(self._overrides).resolved(), own)
        except ValidationError as error:
            errors = tuple(
                CellError(self._titles.get(name), shortened(given.get(name, "")), reason)
                for name, reason in option_errors(error)
            )
            return _RowOptions(self._defaults, {}, errors)

    def _claim(self, pair_id: str, line: int) -> list[CellError]:
        """What is wrong with an id; a well-formed one now belongs to this line, if to no earlier one."""
        title = self._titles.get("id")
        if not ID_PATTERN.fullmatch(pair_id) or pair_id.endswith("."):
            return [CellError(title, shortened(pair_id), f"{ID_RULE}, got {shown(pair_id)}")]
        written, first_line = self._ids.setdefault(pair_id.casefold(), (pair_id, line))
        if first_line == line:
            return []
        spelling = "" if written == pair_id else f" as {written!r}"
        return [CellError(title, pair_id, f"id {pair_id!r} is already used on line {first_line}{spelling}")]

    def _made_id(self, pair: list[Any], written: list[Any], line: int) -> tuple[str, list[CellError]]:
        """An id from the file names and a digest of the cells as written: the same wherever the folder lies."""
        first_line = self._pairs.setdefault(short_digest(pair, 16), line)
        if first_line != line:
            reason = f"the same pair with the same options is already on line {first_line}"
            return "", [CellError(None, "", reason)]
        digest = short_digest(written, 12)  # longer where six digits are taken
        stems = f"{_id_part(pair[0])}-{_id_part(pair[1])}"
        pair_id = f"{stems}-{digest[:6]}"
        if pair_id.casefold() in self._ids:
            pair_id = f"{stems}-{digest}"
        return pair_id, self._claim(pair_id, line)


def _id_part(address: str) -> str:
    """A file's name without folder and ending, in the characters of an id."""
    stem = os.path.splitext(os.path.basename(address))[0]
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:_STEM_CHARS] or "image"


def _text_problem(text: str, *, is_extra: bool) -> str | None:
    if len(text) > MAX_CELL_CHARS:
        return f"expected at most {MAX_CELL_CHARS:,} characters, got {len(text):,}"
    if "\0" in text:
        return "expected text, got a NUL character; save the file as UTF-8 text"
    if not is_extra and (found := _CONTROL_CHARACTER.search(text)):
        return f"expected no control characters, got {found[0]!r}"
    return None
