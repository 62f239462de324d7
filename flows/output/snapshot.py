"""A snapshot caches many records in one file, so that resuming a large run reads one object instead of thousands.

It is only a cache: a record in it is used only while the file that it was copied from is listed with the same version,
and a snapshot that is missing or damaged costs time, nothing else.
"""

import gzip
import io
import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from flows import storage
from flows.errors import NotFound, StorageError

logger = logging.getLogger(__name__)

FORMAT = "records-snapshot-1"


@dataclass(frozen=True, slots=True)
class Copy:
    """The JSON text of a record, and the version of the file it was read from."""

    version: str
    text: str


@dataclass(frozen=True)
class Snapshot:
    """Copies of records, by the names of their files."""

    copies: Mapping[str, Copy] = field(default_factory=dict)

    def current(self, entries: list[storage.Entry]) -> dict[str, Copy]:
        """Return the copies of those listed files that have not changed since they were copied."""
        listed = ((entry.name, self.copies.get(entry.name), entry.version) for entry in entries)
        return {name: copy for name, copy, version in listed if copy is not None and copy.version == version}


def read_snapshot(address: str) -> Snapshot:
    """Read the snapshot at an address; return an empty one if it is missing or damaged."""
    try:
        lines = gzip.decompress(storage.read(address)).decode().splitlines()
        if json.loads(lines[0]) != FORMAT:
            return Snapshot()
        return Snapshot({name: Copy(version, text) for name, version, text in map(json.loads, lines[1:])})
    except NotFound:
        return Snapshot()
    except (OSError, EOFError, zlib.error, ValueError, TypeError, IndexError) as error:
        logger.warning("%s: damaged (%s); every record is read instead", address, error)
        return Snapshot()


def write_snapshot(address: str, copies: Mapping[str, Copy]) -> None:
    """Write a snapshot to an address. If that fails, the error is logged and otherwise ignored."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed:
        # Written line by line: as one text it would take several times the memory of all records.
        packed.write(json.dumps(FORMAT).encode())
        for name, copy in copies.items():
            packed.write(f"\n{json.dumps([name, copy.version, copy.text])}".encode())
    try:
        storage.replace(address, buffer.getvalue())
    except StorageError as error:
        logger.warning("%s; the next run reads every record instead", error)
