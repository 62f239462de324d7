"""Parse a manifest's bytes into pairs and rejected rows. Does no I/O.

A file that cannot be used at all raises one ManifestError that names everything that is wrong with its header.
A row that cannot be used becomes a RejectedRow that names everything that is wrong with its cells; the other rows are
not affected.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from flows.errors import ManifestError
from flows.limits import MAX_BYTES, MAX_ROWS
from flows.manifest.changed_rows import ChangedRows
from flows.manifest.columns import columns_of
from flows.manifest.formats import read_table
from flows.manifest.ignored_columns import ignore_columns
from flows.manifest.rows import RowReader
from flows.manifest.table import Table
from flows.records.pairs import Manifest, PairSpec, RejectedRow
from nst_core.options import StylizeOptions

MAX_BAD_ROWS = 100_000
"""A file with more rejected rows is refused as a whole: if the operator allows millions of rows, reading it would take
minutes."""


def parse_manifest(
    data: bytes,
    uri: str,
    defaults: StylizeOptions,
    *,
    overrides: Mapping[str, Any] | None = None,
    max_rows: int | None = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    recorded: bool = False,
) -> Manifest:
    """Return the manifest's pairs and its rejected rows.

    Args:
        data: the bytes of the file, in any supported format.
        uri: the file's address, an absolute local path or `s3://bucket/key`; relative addresses in the manifest are
            resolved against its folder.
        defaults: the run's options, which a row's own options override.
        overrides: options that override those of every row, as a retry may specify.
        max_rows: the most rows a file may have. None means no limit, neither on rows nor on rejected rows, for a
            manifest that an earlier run has accepted.
        max_bytes: the most bytes a file may have.
        recorded: whether an earlier run, perhaps of an earlier version, accepted the manifest with these options;
            combinations of options that are refused by now are then valid.

    Raises:
        ManifestError: the file as a whole cannot be used.
    """
    name = uri.rstrip("/").rpartition("/")[2]
    if len(data) > max_bytes:
        raise ManifestError(f"{name}: expected at most {max_bytes:,} bytes, found {len(data):,}; split it")
    table = ignore_columns(read_table(data, name, max_bytes))
    columns = columns_of(table.header, name)
    reader = RowReader(columns, defaults, os.path.dirname(uri), overrides or {}, recorded=recorded)
    one_line = [index for index, column in enumerate(columns) if column.field]
    changed_rows = ChangedRows()
    pairs, rejected = _read(table, one_line, reader, changed_rows, name, max_rows)
    extra_columns = tuple(column.title for column in columns if column.rides_along)
    digest = hashlib.sha256(data).hexdigest()
    return Manifest(uri, digest, extra_columns, tuple(pairs), tuple(rejected), (*table.notes, *changed_rows.notes))


def _read(
    table: Table, one_line: list[int], reader: RowReader, changed_rows: ChangedRows, name: str, max_rows: int | None
) -> tuple[list[PairSpec], list[RejectedRow]]:
    """Return the pairs and the rejected rows of a table, or raise if it has too many of either."""
    if max_rows is not None and (line := table.line_of_row(max_rows + 1)) is not None:
        raise ManifestError(_too_many(name, line, max_rows))
    pairs: list[PairSpec] = []
    rejected: list[RejectedRow] = []
    for row in table.rows(one_line):
        if max_rows is not None and len(pairs) + len(rejected) == max_rows:
            raise ManifestError(_too_many(name, row.line, max_rows))
        outcome = reader.read(row)
        if isinstance(outcome, PairSpec):
            pairs.append(outcome)
            changed_rows.check(row, outcome)
        else:
            rejected.append(outcome)
        if max_rows is not None and len(rejected) > MAX_BAD_ROWS:
            first = f"the first, line {rejected[0].row}: {rejected[0].reason()}"
            raise ManifestError(f"{name} line {row.line}: more than {MAX_BAD_ROWS:,} rows cannot be used; {first}")
    if not pairs and not rejected:
        raise ManifestError(f"{name}: expected rows under the header, found none; write one row per pair")
    return pairs, rejected


def _too_many(name: str, line: int, max_rows: int) -> str:
    return f"{name} line {line}: expected {max_rows:,} rows at most; split the file"
