"""Write rows that are given in Python, as a DataFrame or a list of dicts, as a CSV manifest."""

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
from flows.spreadsheets import csv_writer
from flows.storage.addresses import resolved_address, working_folder


@runtime_checkable
class Frame(Protocol):
    """The part of pandas' DataFrame that is used here."""

    columns: Any
    index: Any

    def reset_index(self, *, level: Sequence[Any]) -> "Frame":
        """Return the same frame with levels of its index as columns."""

    def itertuples(self, *, index: bool, name: None) -> Iterable[tuple[Any, ...]]:
        """Return the rows of the frame."""


Rows = Frame | Sequence[Mapping[str, Any]]
"""The rows of a manifest as Python values."""


def save_rows(rows: Rows, output: str, limits: Limits) -> str:
    """Write rows as a CSV manifest into the output and return its address.

    Relative addresses, which are relative to the current folder, are written as absolute ones.

    Raises:
        ManifestError: the rows cannot be written as a manifest; see `csv_of`.
        StorageError: the file cannot be written.
    """
    data = csv_of(rows)
    address = storage.join(output, layout.GIVEN, f"{hashlib.sha256(data).hexdigest()[:16]}.csv")
    with limits.writing(output):
        storage.replace(address, data)
    return address


def csv_of(rows: Rows) -> bytes:
    """Return rows as a CSV.

    Raises:
        ManifestError: the value is not a frame or a list of dicts, or has no rows; or a cell is not a single text or
            number, has a line break in an address, or cannot be encoded as UTF-8.
    """
    if isinstance(rows, Frame):
        # An index with a name is a column that the user made the index, such as the id.
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
    writer = csv_writer(buffer)
    writer.writerow(titles)
    pictures = {index for index, title in enumerate(titles) if title.strip(" ") in (*REQUIRED_COLUMNS, *OTHER_PICTURES)}
    number = 1
    for number, line in enumerate(lines, start=2):  # numbered as in the CSV, where the header is row 1
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
    """Return the name of a value's type, such as `dict` or `a polars DataFrame`: other libraries have frames too."""
    library, name = type(rows).__module__.partition(".")[0], type(rows).__name__
    return name if library == "builtins" else f"a {library} {name}"


def _cell(value: Any, number: int, title: str) -> str:
    """Return the cell of a value.

    Raises:
        ManifestError: the value is a collection or an image, whose Python repr would be taken for a file name.
    """
    if any(kind.__module__.partition(".")[0] == "PIL" for kind in type(value).__mro__):
        raise ManifestError(
            f"row {number}, column {title!a}: expected a path, found PIL.Image.Image; save it and give its path"
        )
    if isinstance(value, Iterable) and not isinstance(value, str):
        raise ManifestError(
            f"row {number}, column {title!a}: expected a text or a number, found {type(value).__name__};"
            " write a list as one text, its parts separated by spaces"
        )
    return cell_of(value)


def _check_lines(addresses: Iterable[tuple[str, int, str]]) -> None:
    for cell, number, title in addresses:
        if "\n" in cell or "\r" in cell:
            raise ManifestError(f"row {number}, column {title!a}: expected one line, found a line break")


def _folder_of(cell: str) -> str:
    """Return the folder that a cell is relative to.

    The working folder is looked up only for relative addresses, as that fails if the folder was removed.
    """
    is_relative = cell.strip(" ") and not os.path.isabs(cell.strip(" ")) and "://" not in cell
    return working_folder() if is_relative else os.sep


def in_full(cell: str, folder: str) -> str:
    """Return an image's absolute address; an invalid one is returned unchanged, for the manifest's parser to reject."""
    try:
        return resolved_address(cell.strip(" "), folder)
    except ValueError:
        return cell
