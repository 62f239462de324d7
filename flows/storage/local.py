"""Local files: written beside their place, flushed to disk, then linked or renamed into it."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.errors import NotFound, TooLarge
from flows.storage import mounts
from flows.storage.entries import Entry
from flows.storage.folders import made, opened
from flows.storage.local_errors import named, named_in_writing
from flows.storage.only_files import opened_file
from flows.storage.places import Places, check_read

TEMPORARY = ".tmp-"
"""Start of the names of files that are being written; a killed process may leave one behind."""
TEMPORARY_NAME = re.compile(r"\.tmp-[0-9a-f]{32}$")
LASTING_NAME = re.compile(r"(?!\.tmp-)")


HASHED_BYTES = 1_000_000_000
"""A larger file is told from another by its size and time: no picture or weights file has so many bytes, and to read
them all would take minutes, where they are there at all."""


def read(address: str, max_bytes: int | None, _seconds: float | None = None, within: Places | None = None) -> bytes:
    """See `flows.storage.read`; a local disk has no deadline."""
    with named(address), opened_file(address) as file:
        check_read(file.fileno(), address, within)
        found = os.fstat(file.fileno()).st_size
        if max_bytes is not None and found > max_bytes:
            raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {found}")
        if not found:  # also what the kernel makes up as it is read, which may be without end
            return b""
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)  # it may have grown
    if max_bytes is not None and len(data) > max_bytes:
        raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found more")
    return data


def create(address: str, data: bytes) -> bool:
    """See `flows.storage.create`."""
    with _written_beside(address, data) as (folder, temporary):
        return mounts.put_new(folder, temporary, os.path.basename(address))


def read_with_version(address: str) -> tuple[bytes, str]:
    """See `flows.storage.read_with_version`."""
    data = read(address, None)
    return data, hashlib.sha256(data).hexdigest()


def swap(address: str, version: str, data: bytes) -> bool:
    """See `flows.storage.swap`. One writer at a time holds the folder's lock between the look and the write."""
    with named_in_writing(address), opened(os.path.dirname(address)) as folder, mounts.locked(folder):
        if read_with_version(address)[1] != version:
            return False
        replace(address, data)
        return True


def replace(address: str, data: bytes) -> None:
    """See `flows.storage.replace`."""
    with _written_beside(address, data) as (folder, temporary):
        mounts.put(folder, temporary, os.path.basename(address))


def remove(address: str) -> None:
    """See `flows.storage.remove`."""
    with named(address), suppress(FileNotFoundError), opened(os.path.dirname(address)) as folder:
        os.unlink(os.path.basename(address), dir_fd=folder)


def temporary_files(output: str) -> list[tuple[str, Entry]]:
    """See `flows.storage.temporary_files`. Only where we write: an output may lie in a folder of other things."""
    folders = [output, os.path.join(output, "images"), os.path.join(output, "timelines")]
    folders += [folder for folder, _, _ in os.walk(os.path.join(output, "_nst"))]
    return [(os.path.join(folder, entry.name), entry) for folder in folders for entry in _files(folder, TEMPORARY_NAME)]


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _files(folder, LASTING_NAME)


def _files(folder: str, name: re.Pattern[str]) -> list[Entry]:
    with named(folder), suppress(FileNotFoundError), os.scandir(folder) as found:
        files = [one for one in found if name.match(one.name)]
        return sorted(filter(None, map(_entry, files)), key=lambda entry: entry.name)
    return []


def _entry(file: os.DirEntry[str]) -> Entry | None:
    try:
        if not file.is_file():
            return None
        facts = file.stat()
    except OSError:  # gone since it was listed, or a link in a circle or to where nobody may look
        return None
    return Entry(file.name, f"{facts.st_mtime_ns}:{facts.st_size}", facts.st_size, facts.st_mtime)


def size(address: str) -> int:
    """See `flows.storage.size`."""
    with named(address):
        return os.stat(address).st_size


def identity(address: str, within: Places | None = None) -> str | None:
    """See `flows.storage.identity`: by content, because a checkout or a copy changes a file's time, not its bytes."""
    try:
        with named(address), opened_file(address) as file:
            check_read(file.fileno(), address, within)
            facts = os.fstat(file.fileno())
            if facts.st_size > HASHED_BYTES:
                return f"unread:{facts.st_size}:{facts.st_mtime_ns}"
            digest = hashlib.file_digest(file, "sha256") if facts.st_size else hashlib.sha256()  # as in `read`
            return f"sha256:{digest.hexdigest()}"
    except NotFound:
        return None


@contextmanager
def _written_beside(address: str, data: bytes) -> Iterator[tuple[int, str]]:
    """The folder of a file to be, and the name in it of one that holds its bytes and is on the disk."""
    temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
    with named_in_writing(address), made(os.path.dirname(address)) as folder:
        try:
            # What closing says counts too: there, some network file systems tell that a write came to nothing.
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o666, dir_fd=folder)) as file:
                file.write(data)
                file.flush()
                mounts.flush(file.fileno())
            yield folder, temporary
        finally:
            with suppress(OSError):  # moved to its place, or on a disk that is gone, which the write itself has said
                os.unlink(temporary, dir_fd=folder)
        mounts.flush_folder(folder)  # the new name itself must reach the disk too
