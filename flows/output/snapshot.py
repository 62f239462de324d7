"""A snapshot of many records in one file, so that going on with a large run reads one object instead of thousands.

It is a copy and never the truth: a record in it counts only while the file it was copied from is listed with the same
version, and a snapshot that is missing or damaged costs time, nothing else.
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
    """A record as JSON text, and the version of the file it was read from."""

    version: str
    text: str


@dataclass(frozen=True)
class Snapshot:
    """File name of a record -> its copy."""

    copies: Mapping[str, Copy] = field(default_factory=dict)

    def current(self, entries: list[storage.Entry]) -> dict[str, Copy]:
        """The copies of those listed files that have not changed since."""
        found = ((entry.name, self.copies.get(entry.name), entry.version) for entry in entries)
        return {name: copy for name, copy, version in found if copy is not None and copy.version == version}


def read_snapshot(address: str) -> Snapshot:
    """The snapshot at an address; an empty one where there is none that can be used."""
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
    """Put a snapshot at an address. That it cannot be written is told and harms nothing."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed:
        # Line by line: as one text it would take several times the memory of all records.
        packed.write(json.dumps(FORMAT).encode())
        for name, copy in copies.items():
            packed.write(f"\n{json.dumps([name, copy.version, copy.text])}".encode())
    try:
        storage.replace(address, buffer.getvalue())
    except StorageError as error:
        logger.warning("%s; the next run reads every record instead", error)
