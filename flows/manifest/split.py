"""Split a manifest into parts, each a manifest itself, if it has too many rows for one run, or for several machines.

The parts are written to the folder of the whole manifest, so that relative paths still resolve. Rows keep their order.
"""

import codecs
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from flows import storage
from flows.errors import Forbidden, ManifestError
from flows.manifest.formats import own_stem, read_table
from flows.manifest.ignored_columns import is_results_table
from flows.manifest.table import Table
from flows.spreadsheets import as_plain_text, csv_writer
from flows.storage.temporary import named_as_temporary, temporary_file
from flows.wording import first_few

LARGEST_BYTES = 4_000_000_000
"""The largest manifest that can be split, as all of it is held in memory."""
READ_SECONDS = 1800.0
"""The timeout for reading it from S3; for the objects that a run reads it is a minute."""
NAMED = 3
"""Parts of an earlier split that a message names; the rest are counted."""


@dataclass(frozen=True)
class _Part:
    """A part to write: its address, and its number of rows."""

    address: str
    rows: int


def split_manifest(address: str, parts: int, readable: storage.Places | None = None) -> list[str]:
    """Write the parts of a manifest and return their addresses; existing parts with the same contents are kept.

    Args:
        address: the manifest's address.
        parts: the number of parts.
        readable: the places that may be read; None means all.

    Raises:
        ManifestError: the file cannot be read as a table, has fewer rows than parts, or parts of a different split
            exist, which must not be mixed with these.
        StorageError: the manifest cannot be read, or a part cannot be read or written.
    """
    name = storage.name_of(address)
    data = storage.read(address, LARGEST_BYTES, seconds=READ_SECONDS, within=readable)
    table = read_table(data, name, LARGEST_BYTES, may_be_long=True)
    del data  # the table holds its contents, so this frees memory
    rows = sum(1 for _ in _rows(table, name))
    if rows < parts:
        raise ManifestError(f"{name}: expected at least {parts} rows for {parts} parts, found {rows}")
    # The parts are CSV. A results table in CSV has a `'` in front of what a spreadsheet would run, which its reader
    # removes. In another format it has none, so a `'` is added where the reader of the parts would remove one.
    as_cell = str if table.is_guarded or not is_results_table(_names(table)) else as_plain_text
    planned = _planned(address, rows, parts)
    existing = _existing_parts(address)
    if others := sorted(existing.keys() - {part.address for part in planned}):
        raise ManifestError(_refusal(others, "parts of another number"))
    if existing:
        written = _written(planned, table, name, as_cell)
        if changed := [part for part, file in written if part in existing and not _is_same(part, existing[part], file)]:
            raise ManifestError(_refusal(changed, "parts of other rows"))
    for part, file in _written(planned, table, name, as_cell):
        if part not in existing:
            storage.replace_by(part, file.name)
    return [part.address for part in planned]


def _planned(address: str, rows: int, parts: int) -> list[_Part]:
    planned: list[_Part] = []
    left = rows
    for number in range(1, parts + 1):
        # The remaining rows are divided equally, so that no two parts differ by more than one row.
        share = math.ceil(left / (parts - number + 1))
        planned.append(_Part(_part_address(address, number, parts), share))
        left -= share
    return planned


def _existing_parts(address: str) -> dict[str, storage.Entry]:
    """Return the parts of earlier splits, by their addresses."""
    folder = storage.parent_of(address)
    is_part = re.compile(re.escape(own_stem(storage.name_of(address))) + r"\.part-\d+-of-\d+\.csv")
    try:
        entries = storage.entries(folder)
    except Forbidden:  # reading and writing objects may be allowed without listing them
        return {}
    return {storage.join(folder, entry.name): entry for entry in entries if is_part.fullmatch(entry.name)}


def _refusal(parts: list[str], what: str) -> str:
    names = first_few(map(storage.name_of, parts), NAMED)
    return (
        f"{storage.parent_of(parts[0])}: expected no parts of an earlier split but those that would be written now, "
        f"found {what}: {names}; nothing was written, remove all parts of it and split again"
    )


def _is_same(part: str, entry: storage.Entry, file: IO[bytes]) -> bool:
    """Return whether an existing part has the contents of a file."""
    with named_as_temporary():
        size = file.seek(0, 2)
        file.seek(0)
        wanted = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # a real file, typed as IO
    if entry.size != size:
        return False
    return hashlib.sha256(storage.read(part, seconds=READ_SECONDS)).digest() == wanted


def _names(table: Table) -> list[str]:
    return [title.strip(" ") for title in table.header.cells]


def _rows(table: Table, name: str) -> Iterator[list[str]]:
    """Yield the cells of each row. Rows with a wrong number of cells are kept, so a part is as invalid as the whole."""
    if table.header.problem:
        raise ManifestError(f"{name} line {table.header.line}: {table.header.problem}")
    for row in table.rows(()):
        if not row.cells:
            raise ManifestError(f"{name} line {row.line}: {row.problem}; `nst validate` names all such rows")
        yield row.cells


def _written(
    planned: list[_Part], table: Table, name: str, as_cell: Callable[[str], str]
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the address of each part with a temporary file that has its contents."""
    reader = _rows(table, name)
    for part in planned:
        rows = itertools.chain([table.header.cells], itertools.islice(reader, part.rows))
        with temporary_file() as file:
            with named_as_temporary():
                text = codecs.getwriter("utf-8")(file)
                csv_writer(text).writerows(list(map(as_cell, cells)) for cells in rows)
                file.flush()
            yield part.address, file


def _part_address(address: str, number: int, parts: int) -> str:
    """Return the address of a part, such as `pairs.part-03-of-16.csv` for `pairs.csv`. Parts are always CSV.

    >>> _part_address("s3://bucket/pairs.parquet", 3, 16)
    's3://bucket/pairs.parquet.part-03-of-16.csv'
    """
    name = f"{own_stem(storage.name_of(address))}.part-{number:0{len(str(parts))}}-of-{parts}.csv"
    return storage.join(storage.parent_of(address), name)
