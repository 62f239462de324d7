"""A manifest cut into parts, each a manifest of its own: for more rows than one run takes, or for several machines.

The parts lie beside the whole, so that relative paths in them mean the same. Rows stay in their order.
"""

import codecs
import csv
import itertools
import math
from collections.abc import Iterable, Iterator

from flows import storage
from flows.errors import ManifestError
from flows.manifest.formats import read_table, stem_of
from flows.manifest.passed_over import is_results_table
from flows.manifest.table import Table
from flows.spreadsheets import as_plain_text
from flows.storage.temporary import named_as_temporary, temporary_file

LARGEST_BYTES = 4_000_000_000
"""Of the whole, which is held in memory."""
READ_SECONDS = 1800.0
"""That it may take to come from S3: an object of a run has a minute."""


def split_manifest(address: str, parts: int, readable: storage.Places | None = None) -> list[str]:
    """Write the parts, and give back their addresses; parts of the same rows and number replace older ones.

    Raises:
        ManifestError: if the file cannot be read as a table, or has fewer rows than parts.
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
    reader = _rows(table, name)
    written: list[tuple[str, int]] = []
    for number in range(1, parts + 1):
        # What is left, in equal shares: no two parts differ by more than one row.
        share = math.ceil((rows - sum(count for _, count in written)) / (parts - number + 1))
        part = _part_address(address, number, parts)
        rows_of_it = itertools.chain([table.header.cells], itertools.islice(reader, share))
        _write(part, (list(map(as_cell, cells)) for cells in rows_of_it))
        written.append((part, share))
    return [part for part, _ in written]


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


def _write(address: str, rows: Iterable[list[str]]) -> None:
    with temporary_file() as file:
        with named_as_temporary():
            csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n").writerows(rows)
            file.flush()
        storage.replace_by(address, file.name)


def _part_address(address: str, number: int, parts: int) -> str:
    """`pairs.csv` -> `pairs.part-03-of-16.csv`; a part is a CSV, whatever the whole is.

    >>> _part_address("s3://bucket/pairs.parquet", 3, 16)
    's3://bucket/pairs.part-03-of-16.csv'
    """
    name = f"{stem_of(storage.name_of(address))}.part-{number:0{len(str(parts))}}-of-{parts}.csv"
    return storage.join(storage.parent_of(address), name)
