"""A manifest cut into parts, each a manifest of its own: for more rows than one run takes, or for several machines.

The parts lie beside the whole, so that relative paths in them mean the same. Rows stay in their order.
"""

import codecs
import csv
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
from flows.spreadsheets import as_plain_text
from flows.storage.temporary import named_as_temporary, temporary_file
from flows.wording import some

LARGEST_BYTES = 4_000_000_000
"""Of the whole, which is held in memory."""
READ_SECONDS = 1800.0
"""That it may take to come from S3: an object of a run has a minute."""
NAMED = 3
"""Parts of an earlier split that one message names."""


@dataclass(frozen=True)
class _Part:
    """A part to be: its address, and how many of the whole's rows it has."""

    address: str
    rows: int


def split_manifest(address: str, parts: int, readable: storage.Places | None = None) -> list[str]:
    """Write the parts, and give back their addresses; those that are there already stay.

    Raises:
        ManifestError: if the file cannot be read as a table, has fewer rows than parts, or was split otherwise before,
            so that some of the parts would be those of another whole.
        StorageError: if it cannot be read, or the parts not written.
    """
    name = storage.name_of(address)
    data = storage.read(address, LARGEST_BYTES, seconds=READ_SECONDS, within=readable)
    table = read_table(data, name, LARGEST_BYTES, may_be_long=True)
    del data  # the table has all of it
    rows = sum(1 for _ in _rows(table, name))
    if rows < parts:
        raise ManifestError(f"{name}: expected at least {parts} rows for {parts} parts, found {rows}")
    # A results table as CSV is read with one `'` less, where it has any: in another format it has none to lose.
    as_cell = str if table.is_guarded or not is_results_table(_names(table)) else as_plain_text
    planned = _planned(address, rows, parts)
    before = _parts_before(address)
    if others := sorted(before.keys() - {part.address for part in planned}):
        raise ManifestError(_refusal(others, "parts of another number"))
    if before:
        made = _written(planned, table, name, as_cell)
        if other := [part for part, file in made if part in before and not _is_same(part, before[part], file)]:
            raise ManifestError(_refusal(other, "parts of other rows"))
    for part, file in _written(planned, table, name, as_cell):
        if part not in before:
            storage.replace_by(part, file.name)
    return [part.address for part in planned]


def _planned(address: str, rows: int, parts: int) -> list[_Part]:
    planned: list[_Part] = []
    left = rows
    for number in range(1, parts + 1):
        # What is left, in equal shares: no two parts differ by more than one row.
        share = math.ceil(left / (parts - number + 1))
        planned.append(_Part(_part_address(address, number, parts), share))
        left -= share
    return planned


def _parts_before(address: str) -> dict[str, storage.Entry]:
    """The parts of earlier splits, by their addresses."""
    folder = storage.parent_of(address)
    is_part = re.compile(re.escape(own_stem(storage.name_of(address))) + r"\.part-\d+-of-\d+\.csv")
    try:
        entries = storage.entries(folder)
    except Forbidden:  # one may be allowed to read and write objects and not to list them
        return {}
    return {storage.join(folder, entry.name): entry for entry in entries if is_part.fullmatch(entry.name)}


def _refusal(parts: list[str], what: str) -> str:
    names = some(map(storage.name_of, parts), NAMED)
    return (
        f"{storage.parent_of(parts[0])}: expected no parts of an earlier split but those that would be written now, "
        f"found {what}: {names}; nothing was written, remove all parts of it and split again"
    )


def _is_same(part: str, entry: storage.Entry, file: IO[bytes]) -> bool:
    """Whether a part that is there holds what is in a file."""
    with named_as_temporary():
        size = file.seek(0, 2)
        file.seek(0)
        wanted = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # a file, as IO
    if entry.size != size:
        return False
    return hashlib.sha256(storage.read(part, seconds=READ_SECONDS)).digest() == wanted


def _names(table: Table) -> list[str]:
    return [title.strip(" ") for title in table.header.cells]


def _rows(table: Table, name: str) -> Iterator[list[str]]:
    """The cells of each row, those of another length as they are: a part is as wrong as the whole."""
    if table.header.problem:
        raise ManifestError(f"{name} line {table.header.line}: {table.header.problem}")
    for row in table.rows(()):
        if not row.cells:
            raise ManifestError(f"{name} line {row.line}: {row.problem}; `nst validate` names all such rows")
        yield row.cells


def _written(
    planned: list[_Part], table: Table, name: str, as_cell: Callable[[str], str]
) -> Iterator[tuple[str, IO[bytes]]]:
    """Each part's address with a temporary file that holds it."""
    reader = _rows(table, name)
    for part in planned:
        rows = itertools.chain([table.header.cells], itertools.islice(reader, part.rows))
        with temporary_file() as file:
            with named_as_temporary():
                text = codecs.getwriter("utf-8")(file)
                csv.writer(text, lineterminator="\n").writerows(list(map(as_cell, cells)) for cells in rows)
                file.flush()
            yield part.address, file


def _part_address(address: str, number: int, parts: int) -> str:
    """`pairs.csv` -> `pairs.part-03-of-16.csv`; a part is a CSV, whatever the whole is.

    >>> _part_address("s3://bucket/pairs.parquet", 3, 16)
    's3://bucket/pairs.parquet.part-03-of-16.csv'
    """
    name = f"{own_stem(storage.name_of(address))}.part-{number:0{len(str(parts))}}-of-{parts}.csv"
    return storage.join(storage.parent_of(address), name)
