"""A manifest cut into parts, each a manifest of its own: for more rows than one run takes, or for several machines.

The parts lie beside the whole, so that relative paths in them mean the same. Rows stay in their order.
"""

import csv
import io
import math
from collections.abc import Iterator
from itertools import islice

from flows import storage
from flows.errors import ManifestError

LARGEST_BYTES = 4_000_000_000
"""Of the whole, which is held in memory."""


def split_manifest(address: str, parts: int, readable: storage.Places | None = None) -> list[str]:
    """Write the parts, and give back their addresses; parts of the same rows and number replace older ones.

    Raises:
        ManifestError: if the file cannot be read as CSV, or has fewer rows than parts.
        StorageError: if it cannot be read, or the parts not written.
    """
    name = storage.name_of(address)
    try:
        text = storage.read(address, LARGEST_BYTES, within=readable).decode("utf-8-sig")
        rows = sum(1 for row in _rows(text) if row) - 1
        if rows < parts:
            raise ManifestError(f"{name}: expected at least {parts} rows for {parts} parts, found {max(0, rows)}")
        reader = (row for row in _rows(text) if row)
        header = next(reader)
        written: list[tuple[str, int]] = []
        for number in range(1, parts + 1):
            # What is left, in equal shares: no two parts differ by more than one row.
            share = math.ceil((rows - sum(count for _, count in written)) / (parts - number + 1))
            part = _part_address(address, number, parts)
            storage.replace(part, _as_csv([header, *islice(reader, share)]))
            written.append((part, share))
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{name}: expected UTF-8 text, found byte offset {error.start} in another encoding"
        ) from error
    except csv.Error as error:
        raise ManifestError(f"{name}: cannot be read as CSV ({error}); `nst validate` names the rows") from error
    return [part for part, _ in written]


def _rows(text: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def _as_csv(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _part_address(address: str, number: int, parts: int) -> str:
    """`pairs.csv` -> `pairs.part-03-of-16.csv`.

    >>> _part_address("s3://bucket/pairs.csv", 3, 16)
    's3://bucket/pairs.part-03-of-16.csv'
    """
    stem = address.removesuffix(".csv")
    return f"{stem}.part-{number:0{len(str(parts))}}-of-{parts}.csv"
