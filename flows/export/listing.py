"""metadata.csv, a row per picture as datasets read it, and SHA256SUMS, which `sha256sum -c` checks."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows import storage
from flows.errors import NotFound
from flows.export.pictures import Picture
from flows.spreadsheets import as_plain_text

FILE_NAME = "file_name"
LEFT_OUT = ("status", "error_kind", "error")
"""Columns of the results table that say the same of every finished picture."""
_OF_THE_READER = ("image", "images", "file_names", FILE_NAME)
"""Columns that a reader makes of `file_name`."""


def metadata(
    pictures: Mapping[str, Picture], columns: Sequence[str], earlier: Mapping[str, Mapping[str, str]]
) -> bytes:
    """The table of a dataset: `file_name` first, then the columns of the results table.

    Args:
        pictures: by name.
        columns: of their rows.
        earlier: rows of an earlier table, by name, which come last, as they are.
    """
    titles = [column for column in columns if column not in LEFT_OUT]
    shown = [as_plain_text(_title(title)) for title in titles]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([FILE_NAME, *shown])
    for name, picture in pictures.items():
        writer.writerow([name, *(_cell(picture.row[title]) for title in titles)])
    for name, row in earlier.items():
        writer.writerow([name, *(row.get(title) for title in shown)])
    return buffer.getvalue().encode()


def rows_before(address: str) -> dict[str, dict[str, str]]:
    """The rows of a table that an earlier export wrote, by name; none where it is gone, or no table any more."""
    try:
        text = storage.read(address).decode(errors="replace")
        return {row[FILE_NAME]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    except (NotFound, csv.Error, KeyError):
        return {}


def row_json(picture: Picture, columns: Sequence[str]) -> bytes:
    """A picture's row for the file beside it in a shard."""
    row = {column: picture.row[column] for column in columns if column not in LEFT_OUT}
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass")


def sums(files: Iterable[tuple[str, str]]) -> bytes:
    """The lines of `sha256sum`, of (name, sha256)."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files)).encode()


def _title(title: str) -> str:
    """A column of the manifest that a reader would take for the picture's file gets another name."""
    name = title.strip().casefold()
    is_taken = name in _OF_THE_READER or name.endswith(("_file_name", "_file_names"))
    return f"{title}_in_manifest" if is_taken else title


def _cell(value: Any) -> Any:
    return as_plain_text(value) if isinstance(value, str) else value
