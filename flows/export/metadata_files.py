"""Formats metadata.csv, one row per image as dataset readers expect it, and SHA256SUMS, for `sha256sum -c`."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows import storage
from flows.errors import NotFound
from flows.export.pictures import Picture
from flows.spreadsheets import as_plain_text, csv_writer

FILE_NAME = "file_name"
LEFT_OUT = ("status", "error_kind", "error")
"""Columns of the results table that have the same value for every finished image."""
_RESERVED = ("image", "images", "file_names", FILE_NAME)
"""Columns that dataset readers create from `file_name`."""


def metadata_csv(
    pictures: Mapping[str, Picture], columns: Sequence[str], earlier: Mapping[str, Mapping[str, str]]
) -> bytes:
    """Return metadata.csv: the column `file_name` first, then the columns of the results table.

    Args:
        pictures: file name -> image.
        columns: the columns of the images' rows.
        earlier: file name -> row of the metadata.csv of an earlier export; these rows are appended unchanged.
    """
    titles = [column for column in columns if column not in LEFT_OUT]
    shown = [as_plain_text(_title(title)) for title in titles]
    buffer = io.StringIO(newline="")
    writer = csv_writer(buffer)
    writer.writerow([FILE_NAME, *shown])
    for name, picture in pictures.items():
        writer.writerow([name, *(_cell(picture.row[title]) for title in titles)])
    for name, row in earlier.items():
        writer.writerow([name, *(row.get(title) for title in shown)])
    return buffer.getvalue().encode()


def read_metadata(address: str) -> dict[str, dict[str, str]]:
    """Read the metadata.csv of an earlier export: file name -> row; empty if the file is missing or damaged."""
    try:
        text = storage.read(address).decode(errors="replace")
        return {row[FILE_NAME]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    except (NotFound, csv.Error, KeyError):
        return {}


def row_json(picture: Picture, columns: Sequence[str]) -> bytes:
    """Return an image's row as JSON, for the file next to it in a shard."""
    row = {column: picture.row[column] for column in columns if column not in LEFT_OUT}
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass")


def sha256sums(files: Iterable[tuple[str, str]]) -> bytes:
    """Return the lines of SHA256SUMS for files, each a pair of name and sha256."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files)).encode()


def _title(title: str) -> str:
    """Return the title of a column; one of the manifest that readers would take for the image's file is renamed."""
    name = title.strip().casefold()
    is_taken = name in _RESERVED or name.endswith(("_file_name", "_file_names"))
    return f"{title}_in_manifest" if is_taken else title


def _cell(value: Any) -> Any:
    return as_plain_text(value) if isinstance(value, str) else value
