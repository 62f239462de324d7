"""Local files: written to a temporary file in the target folder, fsynced, then atomically linked or renamed."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace as changed
from typing import BinaryIO

from flows.errors import NotFound, TooLarge
from flows.storage import mounts
from flows.storage.entry import Entry, Fetched
from flows.storage.folders import created, opened
from flows.storage.local_errors import named, named_in_removing, named_in_writing
from flows.storage.only_files import opened_file
from flows.storage.places import Places, check_read

TEMPORARY = ".tmp-"
"""The start of the names of temporary files; a killed process may leave one behind."""
TEMPORARY_NAME = re.compile(r"\.tmp-[0-9a-f]{32}$")
LASTING_NAME = re.compile(r"(?!\.tmp-)")
HASHED_BYTES = 1_000_000_000
"""A larger file is identified by its size and time instead of its hash: no image or weights file is so large, and to
read it would take minutes, if its bytes are on the disk at all."""


def read(address: str, max_bytes: int | None, _seconds: float | None = None, within: Places | None = None) -> bytes:
    """See `flows.storage.read`; a local disk has no deadline."""
    with named(address), opened_file(address) as file:
        check_read(file.fileno(), address, within)
        found = os.fstat(file.fileno()).st_size
        if max_bytes is not None and found > max_bytes:
            raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {found}")
        if not found:  # also a file whose content the kernel generates on reading, which may be endless
            return b""
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)  # it may have grown since
    if max_bytes is not None and len(data) > max_bytes:
        raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found more")
    return data


def fetch(address: str, _identity: str, max_bytes: int | None, within: Places | None = None) -> Fetched:
    """See `flows.storage.fetch`."""
    data = read(address, max_bytes, within=within)
    sha256 = hashlib.sha256(data).hexdigest()
    return Fetched(data, sha256, f"sha256:{sha256}" if len(data) <= HASHED_BYTES else identity(address, within) or "")


def create(address: str, data: bytes) -> bool:
    """See `flows.storage.create`."""
    with _temporary_copy(address, data) as (folder, temporary):
        return mounts.put_new(folder, temporary, os.path.basename(address))


def read_with_version(address: str) -> tuple[bytes, str]:
    """See `flows.storage.read_with_version`."""
    data = read(address, None)
    return data, hashlib.sha256(data).hexdigest()


def swap(address: str, version: str, data: bytes) -> bool:
    """See `flows.storage.swap`. One writer at a time holds the folder's lock, from the comparison to the write."""
    with named_in_writing(address), opened(os.path.dirname(address)) as folder, mounts.locked(folder):
        if read_with_version(address)[1] != version:
            return False
        replace(address, data)
        return True


def replace(address: str, data: bytes) -> None:
    """See `flows.storage.replace`."""
    with _temporary_copy(address, data) as (folder, temporary):
        mounts.put(folder, temporary, os.path.basename(address))


def replace_by(address: str, path: str) -> None:
    """See `flows.storage.replace_by`."""
    with open(path, "rb") as source, _temporary_copy(address, source) as (folder, temporary):
        mounts.put(folder, temporary, os.path.basename(address))


def copy(source: str, target: str, within: Places | None = None) -> None:
    """See `flows.storage.copy`."""
    with named(source), opened_file(source) as file:
        check_read(file.fileno(), source, within)
        with _temporary_copy(target, file) as (folder, temporary):
            mounts.put(folder, temporary, os.path.basename(target))


def link(source: str, target: str, within: Places | None = None) -> bool:
    """See `flows.storage.link`: the link gets a temporary name in the target folder, then is renamed."""
    temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
    with opened_to_read(source, within) as path, named_in_writing(target), created(os.path.dirname(target)) as folder:
        try:
            os.link(path, temporary, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in mounts.CANNOT_LINK:
                raise
            return False
        try:
            mounts.put(folder, temporary, os.path.basename(target))
        finally:
            with suppress(OSError):  # it was renamed, unless the target was the same file already
                os.unlink(temporary, dir_fd=folder)
    return True


@contextmanager
def opened_to_read(address: str, within: Places | None = None) -> Iterator[str]:
    """Check that a file may be read and keep it open for as long as the block lasts; yields a path to it.

    Where the system has one, it is the path of the open file: at the address, a link may be put in its place meanwhile.
    """
    with named(address), opened_file(address) as file:
        check_read(file.fileno(), address, within)
        opened_path = f"/proc/self/fd/{file.fileno()}"
        yield opened_path if os.path.exists(opened_path) else address


def remove(address: str) -> None:
    """See `flows.storage.remove`."""
    with named_in_removing(address), suppress(FileNotFoundError), opened(os.path.dirname(address)) as folder:
        os.unlink(os.path.basename(address), dir_fd=folder)


def temporary_files(folders: Sequence[str], trees: Sequence[str]) -> list[tuple[str, Entry]]:
    """See `flows.storage.temporary_files`."""
    folders = [*folders, *(folder for tree in trees for folder, _, _ in os.walk(tree))]
    return [(os.path.join(folder, entry.name), entry) for folder in folders for entry in _files(folder, TEMPORARY_NAME)]


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _files(folder, LASTING_NAME)


def tree(folder: str) -> list[Entry]:
    """See `flows.storage.tree`. Links are followed, except to a folder that contains them."""
    found = _entries_below(folder, "", ()) if os.path.isdir(folder) else []
    return sorted(found, key=lambda entry: entry.name)


def _entries_below(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> list[Entry]:
    with named(folder), os.scandir(folder) as listed:
        facts = os.stat(folder)
        found = list(listed)
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        return []
    entries: list[Entry] = []
    for one in found:
        if _is_folder(one):
            entries += _entries_below(one.path, f"{prefix}{one.name}/", (*above, here))
        elif LASTING_NAME.match(one.name) and (entry := _entry(one)):
            entries.append(changed(entry, name=prefix + entry.name))
    return entries


def _is_folder(file: os.DirEntry[str]) -> bool:
    try:
        return file.is_dir()
    except OSError:  # as in `_entry`
        return False


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
    except OSError:  # removed since it was listed, a circular link, or a link to a forbidden folder
        return None
    return _as_entry(file.name, facts)


def _as_entry(name: str, facts: os.stat_result) -> Entry:
    return Entry(name, f"{facts.st_mtime_ns}:{facts.st_size}", facts.st_size, facts.st_mtime)


def entry_of(address: str) -> Entry | None:
    """See `flows.storage.entry_of`."""
    with named(address), suppress(FileNotFoundError):
        return _as_entry(os.path.basename(address), os.stat(address))
    return None


def size(address: str) -> int:
    """See `flows.storage.size`."""
    with named(address):
        return os.stat(address).st_size


def identity(address: str, within: Places | None = None) -> str | None:
    """See `flows.storage.identity`: by content, as a checkout or a copy changes the time of a file, not its bytes."""
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
def _temporary_copy(address: str, data: bytes | BinaryIO) -> Iterator[tuple[int, str]]:
    """Write data to a temporary file in the folder of `address`, and fsync it; the block then links or renames it.

    Yields:
        The descriptor of the folder, and the name of the temporary file in it.
    """
    temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
    with named_in_writing(address), created(os.path.dirname(address)) as folder:
        try:
            # Errors of close() count too: some network file systems report only there that a write has failed.
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o666, dir_fd=folder)) as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    shutil.copyfileobj(data, file)
                file.flush()
                mounts.flush(file.fileno())
            yield folder, temporary
        finally:
            with suppress(OSError):  # it was renamed, or the disk is gone, which the write itself has reported
                os.unlink(temporary, dir_fd=folder)
        mounts.flush_folder(folder)  # the directory entry must reach the disk too
