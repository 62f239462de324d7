"""Rows of Python, a DataFrame or a list of dicts, written as the CSV manifest that they stand for."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from flows import storage
from flows.errors import ManifestError
from flows.limits import Limits
from flows.manifest.cells import cell_of
from flows.manifest.columns import REQUIRED_COLUMNS
from flows.records import layout
from flows.records.pairs import OTHER_PICTURES
from flows.storage.addresses import resolved_address, working_folder


@runtime_checkable
class Frame(Protocol):
    """What is used of a pandas DataFrame."""

    columns: Any
    index: Any

    def reset_index(self, *, level: Sequence[Any]) -> "Frame":
        """The same with levels of its index as columns."""

    def itertuples(self, *, index: bool, name: None) -> Iterable[tuple[Any, ...]]:
        """Its rows."""


Rows = Frame | Sequence[Mapping[str, Any]]
"""A manifest as Python has it."""


def kept_rows(rows: Rows, output: str, limits: Limits) -> str:
    """The address of a CSV in the output that says what rows of Python say, written now.

    Its relative addresses, which start from the current folder, are written in full.

    Raises:
        ManifestError: if these are no rows, or two values cannot be told apart.
        StorageError: if it cannot be written.
    """
    data = csv_of(rows)
    address = storage.join(output, layout.GIVEN, f"{hashlib.sha256(data).hexdigest()[:16]}.csv")
    with limits.writing(output):
        storage.replace(address, data)
    return address


def csv_of(rows: Rows) -> bytes:
    """Rows of Python as a CSV.

    Raises:
        ManifestError: if these are no rows, or none at all, or a text has what is no letter.
    """
    if isinstance(rows, Frame):
        # An index with a name is a column that somebody set aside, such as the id.
        rows = rows.reset_index(level=[name for name in rows.index.names if name not in (None, *rows.columns)])
        names = list(rows.columns)
        lines: Iterable[Sequence[Any]] = rows.itertuples(index=False, name=None)
    elif isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = ([row.get(name) for name in names] for row in rows)
    else:
        raise ManifestError(
            f"expected a manifest's address, a pandas DataFrame or a list of rows (dictionaries), found {_kind(rows)}"
        )
    titles = list(map(str, names))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    pictures = {index for index, title in enumerate(titles) if title.strip(" ") in (*REQUIRED_COLUMNS, *OTHER_PICTURES)}
    number = 1
    for number, line in enumerate(lines, start=2):  # as the reader counts them: the titles are row 1
        cells = [_cell(value, number, title) for value, title in zip(line, titles, strict=True)]
        _check_lines((cells[index], number, titles[index]) for index in pictures)
        writer.writerow(
            [in_full(cell, _folder_of(cell)) if index in pictures else cell for index, cell in enumerate(cells)]
        )
    if number == 1:
        raise ManifestError("expected rows, found none")
    try:
        return buffer.getvalue().encode()
    except UnicodeEncodeError as error:
        number, found = error.object.count("\n", 0, error.start) + 1, error.object[error.start]
        raise ManifestError(
            f"line {number}: expected texts, found {found!a} in one, as in a file's name that is not UTF-8: rename it"
        ) from error


def _kind(rows: object) -> str:
    """As `dict`, and `polars DataFrame`: other libraries have frames too."""
    library, name = type(rows).__module__.partition(".")[0], type(rows).__name__
    return name if library == "builtins" else f"a {library} {name}"


def _cell(value: Any, number: int, title: str) -> str:
    """A value's cell.

    Raises:
        ManifestError: if it is many values, or a picture; Python's own notation of it would be taken for a name.
    """
    if any(kind.__module__.partition(".")[0] == "PIL" for kind in type(value).__mro__):
        raise ManifestError(
            f"row {number}, column {title!a}: expected a path, found PIL.Image.Image; save it and give its path"
        )
    if isinstance(value, Iterable) and not isinstance(value, str):
        raise ManifestError(
            f"row {number}, column {title!a}: expected a text or a number, found {type(value).__name__};"
            " write a list as one text, its parts parted by blanks"
        )
    return cell_of(value)


def _check_lines(addresses: Iterable[tuple[str, int, str]]) -> None:
    for cell, number, title in addresses:
        if "\n" in cell or "\r" in cell:
            raise ManifestError(f"row {number}, column {title!a}: expected one line, found a line break")


def _folder_of(cell: str) -> str:
    """Where a relative address starts, which is asked for one alone: the working folder may be gone."""
    is_relative = cell.strip(" ") and not os.path.isabs(cell.strip(" ")) and "://" not in cell
    return working_folder() if is_relative else os.sep


def in_full(cell: str, folder: str) -> str:
    """A picture's address in full; one that is none is left as it is, for the manifest's reader to refuse."""
    try:
        return resolved_address(cell.strip(" "), folder)
    except ValueError:
        return cell
