"""The functions on files, local and on S3: each one passes on to the module that stores the address."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from flows.errors import CredentialsExpired, NotFound, StorageError
from flows.storage import addresses, local, mounts, s3
from flows.storage.addresses import is_local, is_s3
from flows.storage.entry import Entry, Fetched
from flows.storage.fan_out import each
from flows.storage.places import Places

ABANDONED_SECONDS = 24 * 3600.0
"""The age from which a temporary file has lost its writer, which writes to it until it is complete."""


class _Files(Protocol):
    """The functions that both `local` and `s3` have."""

    def read(
        self, address: str, max_bytes: int | None, seconds: float | None = None, within: Places | None = None, /
    ) -> bytes: ...
    def fetch(self, address: str, identity: str, max_bytes: int | None, within: Places | None = None, /) -> Fetched: ...
    def read_with_version(self, address: str) -> tuple[bytes, str]: ...
    def swap(self, address: str, version: str, data: bytes) -> bool: ...
    def create(self, address: str, data: bytes) -> bool: ...
    def replace(self, address: str, data: bytes) -> None: ...
    def replace_by(self, address: str, path: str) -> None: ...
    def copy(self, source: str, target: str, within: Places | None = None, /) -> None: ...
    def remove(self, address: str) -> None: ...
    def entries(self, folder: str) -> list[Entry]: ...
    def tree(self, folder: str) -> list[Entry]: ...
    def entry_of(self, address: str) -> Entry | None: ...
    def identity(self, address: str, within: Places | None = None, /) -> str | None: ...
    def size(self, address: str) -> int: ...


def read_if_there(address: str) -> bytes | None:
    """Return the bytes of a file as `read` does; None if it does not exist."""
    try:
        return read(address)
    except NotFound:
        return None


def read(
    address: str, max_bytes: int | None = None, *, seconds: float | None = None, within: Places | None = None
) -> bytes:
    """Return the bytes of a file; those of an S3 object with `Content-Encoding: gzip` are decoded.

    Args:
        address: the address of the file.
        max_bytes: the most bytes that the file may have; None for no limit.
        seconds: the deadline for an S3 object that may take longer than the usual one.
        within: the places in which a local file has to lie, checked once it is open; None allows every place.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
        TooLarge: if it holds more than `max_bytes`, stored or decoded; no more than that is read.
        Archived, NotDecoded: the object on S3 is in an archive tier, or has an encoding that is not supported.
    """
    return _files(address).read(address, max_bytes, seconds, within)


def fetch(address: str, identity: str, max_bytes: int | None = None, *, within: Places | None = None) -> Fetched:
    """Return a file's bytes with the hash and identity of exactly these bytes, even if it is replaced meanwhile.

    If the object was replaced since it had that `identity`, and S3 has kept the version with it, that version is read;
    a deleted object is not. In every other case the returned identity differs from the given one.

    Raises:
        StorageError: the same errors as `read` raises.
    """
    return _files(address).fetch(address, identity, max_bytes, within)


def read_with_version(address: str) -> tuple[bytes, str]:
    """Return the bytes of a file and its version, which `swap` takes."""
    return _files(address).read_with_version(address)


def create(address: str, data: bytes) -> bool:
    """Create a file; return False if one exists already, which stays as it is. `data` must not be empty.

    On S3 also return True if the existing object holds the same bytes: it may be our own write, whose response was
    lost.
    """
    return _files(address).create(address, data)


def swap(address: str, version: str, data: bytes) -> bool:
    """Replace a file if it still has that version; return False if it has another."""
    return _files(address).swap(address, version, data)


def replace(address: str, data: bytes) -> None:
    """Write a whole file atomically, in place of any existing one."""
    _files(address).replace(address, data)


def replace_by(address: str, path: str) -> None:
    """Write a copy of a local file, in place of any existing one: for files too large to be held in memory."""
    _files(address).replace_by(address, path)


def copy(source: str, target: str, within: Places | None = None) -> None:
    """Write a whole copy of a file, in place of any existing one; within S3 the server copies.

    Args:
        source: the address of the file to copy.
        target: the address of the copy.
        within: the places in which a local source has to lie; None allows every place.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
    """
    files, source_files = _files(target), _files(source)
    if is_local(target) and not is_local(source):
        files.replace(target, source_files.read(source, None))
    elif is_local(source) and not is_local(target):
        with local.opened_to_read(source, within) as path:
            files.replace_by(target, path)
    else:
        assert files is source_files
        files.copy(source, target, within)


def link(source: str, target: str, within: Places | None = None) -> bool:
    """Hard-link a local file, in place of any existing target; return False where the file system cannot.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
    """
    return local.link(source, target, within)


def remove(address: str) -> None:
    """Remove a file; do nothing if it does not exist."""
    _files(address).remove(address)


def names(folder: str) -> list[str]:
    """Return the names of the files in a folder, sorted; an empty list if the folder does not exist."""
    return [entry.name for entry in entries(folder)]


def entries(folder: str) -> list[Entry]:
    """Return the files in a folder, sorted by name; an empty list if the folder does not exist."""
    return _files(folder).entries(folder)


def entry_of(address: str) -> Entry | None:
    """Return the entry that a listing of its folder has for a file; None if the file does not exist.

    On S3, the time may lack the fractions of a second that the one of a listing has, or have them.
    """
    return _files(address).entry_of(address)


def tree(folder: str) -> list[Entry]:
    """Return all files below a folder, sorted by their names relative to it; an empty list if it does not exist."""
    return _files(folder).tree(folder)


def temporary_files(folders: Sequence[str], trees: Sequence[str]) -> list[tuple[str, Entry]]:
    """Return every local temporary file, still being written or left behind by a killed writer; S3 has none.

    Args:
        folders: the folders to search, without their subfolders.
        trees: the folders to search recursively.

    Returns:
        The address and the entry of each file.
    """
    return local.temporary_files(*([place for place in places if is_local(place)] for places in (folders, trees)))


def sweep(folders: Collection[str], trees: Collection[str] = ()) -> None:
    """Remove the temporary files that killed writers left in local folders, where no listing shows them.

    What cannot be listed or removed stays: it only takes up room.

    Args:
        folders: the folders to search, without their subfolders.
        trees: the folders to search recursively.
    """
    before = time.time() - ABANDONED_SECONDS
    for places in (*(([folder], ()) for folder in folders), *(((), [tree]) for tree in trees)):
        with suppress(StorageError):
            for address, entry in temporary_files(*places):
                if entry.modified < before:
                    remove(address)


def identity(address: str, within: Places | None = None) -> str | None:
    """Return a text that changes with a file's content; None if the file does not exist.

    It is `sha256:...` for local files, or their size and time if they have more than a gigabyte; on S3 the ETag and the
    size of the object as stored, whatever its `Content-Encoding`.

    Args:
        address: the address of the file.
        within: the places in which a local file has to lie; None allows every place.

    Raises:
        NotAFile, NotAllowed, Forbidden, Unavailable: as their names say.
    """
    return _files(address).identity(address, within)


def identities(addresses: list[str], within: Places | None = None) -> dict[str, str | StorageError | None]:
    """Return the identity of each file, or the error that was raised for it.

    Raises:
        CredentialsExpired: it is raised, as no single file is to blame for it.
    """
    known: dict[str, str | StorageError | None] = {}
    known |= s3.identities([address for address in addresses if is_s3(address)])
    rest = [address for address in addresses if address not in known]
    return known | dict(zip(rest, each(partial(_identity_or_error, within=within), rest), strict=True))


def _identity_or_error(address: str, within: Places | None) -> str | StorageError | None:
    try:
        return identity(address, within)
    except CredentialsExpired:
        raise
    except StorageError as error:
        return error


def size(address: str) -> int:
    """Return the size of a file in bytes.

    Raises:
        NotFound, Forbidden, Unavailable: as their names say.
    """
    return _files(address).size(address)


def probe(address: str, data: bytes) -> None:
    """Check that the storage refuses to create an existing file, once per process and S3 bucket, for `shortfalls`.

    Some S3-compatible stores ignore the condition of a write and report success. The probe costs one request, which
    writes the same bytes again where the store ignores the condition. Local file systems need no probe, as their
    operations fail where they are not supported.

    Args:
        address: a file that exists and that nobody else writes.
        data: its bytes.
    """
    if is_s3(address):
        s3.probe(address, data)


def shortfalls(output: str) -> list[str]:
    """Return what the output's storage turned out to lack in this process, and what that means for runs."""
    return s3.shortfalls(output) if is_s3(output) else mounts.shortfalls(output)


def _files(address: str) -> _Files:
    addresses.check(address)
    return s3 if is_s3(address) else local
