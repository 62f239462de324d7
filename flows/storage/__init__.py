"""Every byte read or written, local and S3 alike.

An address is an absolute local path or `s3://bucket/key`. Both kinds offer the same promises:

- `read` gives the whole file or an error, never a part of it;
- `create` makes a new file or leaves the one that is there: two writers have exactly one winner;
- `swap` replaces a file only if it still is what was read: of two writers, one loses and is told;
- `replace` puts a whole new file in place of the old one: a reader sees the old or the new one, nothing between.

Where a local file system cannot do what that takes, the next strongest way is taken, and `shortfalls` says what is
promised there.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from flows.errors import CredentialsExpired, StorageError
from flows.storage import addresses, local, mounts, s3
from flows.storage.addresses import absolute, check, is_s3, join, name_of, parent_of
from flows.storage.entries import Entry, Fetched
from flows.storage.places import Places, guarded
from flows.storage.retries import HURRIED_SECONDS, hurried

__all__ = [
    "HURRIED_SECONDS",
    "Entry",
    "Fetched",
    "Places",
    "absolute",
    "check",
    "copy",
    "create",
    "each",
    "entries",
    "fetch",
    "guarded",
    "hurried",
    "identities",
    "identity",
    "is_s3",
    "join",
    "link",
    "name_of",
    "names",
    "parent_of",
    "read",
    "read_with_version",
    "remove",
    "replace",
    "replace_by",
    "shortfalls",
    "size",
    "swap",
    "temporary_files",
    "tree",
]

Input = TypeVar("Input")
Output = TypeVar("Output")

CONCURRENT_REQUESTS = 16
CHUNK = 64
"""Inputs that a thread takes at a time: a hundred thousand of them one by one cost more than the work."""


class _Files(Protocol):
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
    def identity(self, address: str, within: Places | None = None, /) -> str | None: ...
    def size(self, address: str) -> int: ...


def read(
    address: str, max_bytes: int | None = None, *, seconds: float | None = None, within: Places | None = None
) -> bytes:
    """The bytes of a file; of an object with `Content-Encoding: gzip`, what was there before.

    Args:
        address: of the file.
        max_bytes: that it may have.
        seconds: for what may take longer than the deadline of an object.
        within: where a local file, once it is open, has to be; anywhere by default.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
        TooLarge: if it holds more than `max_bytes`, stored or decoded; no more than that is read.
        Archived, NotDecoded: of an object on S3.
    """
    return _files(address).read(address, max_bytes, seconds, within)


def fetch(address: str, identity: str, max_bytes: int | None = None, *, within: Places | None = None) -> Fetched:
    """A file's bytes with what tells them from others: what was read is what is told of, whoever replaces it meanwhile.

    Where the file was replaced since it had that `identity`, and S3 has kept the version that did, that one is read; a
    file that was removed stays so. Elsewhere the identity that comes back is another.

    Raises:
        As `read`.
    """
    return _files(address).fetch(address, identity, max_bytes, within)


def read_with_version(address: str) -> tuple[bytes, str]:
    """The bytes of a file, and the version that `swap` wants to know."""
    return _files(address).read_with_version(address)


def create(address: str, data: bytes) -> bool:
    """Make a new file; False if there is one already, which stays as it is. `data` must not be empty.

    On S3 also True if what is there holds the same bytes: the answer to our own write may have been lost.
    """
    return _files(address).create(address, data)


def swap(address: str, version: str, data: bytes) -> bool:
    """Replace a file if it still has that version; False if it has another."""
    return _files(address).swap(address, version, data)


def replace(address: str, data: bytes) -> None:
    """Write a file, whole, in place of what may be there."""
    _files(address).replace(address, data)


def replace_by(address: str, path: str) -> None:
    """Write a copy of a local file, whole, in place of what may be there: for what is too large to be held."""
    _files(address).replace_by(address, path)


def copy(source: str, target: str, within: Places | None = None) -> None:
    """Write a copy of a file, whole, in place of what may be there; within S3 its bytes do not come here.

    A local source has to be `within` those places.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
    """
    files, source_files = _files(target), _files(source)
    if is_s3(source) and not is_s3(target):
        local.replace(target, s3.read(source, None))
    elif is_s3(target) and not is_s3(source):
        with local.opened_to_read(source, within) as path:
            s3.replace_by(target, path)
    else:
        assert files is source_files
        files.copy(source, target, within)


def link(source: str, target: str, within: Places | None = None) -> bool:
    """Give a local file a second name, in place of what may have that; False where the file system cannot do it.

    Raises:
        NotFound, NotAFile, Forbidden, Unavailable, NotAllowed: as their names say.
    """
    return local.link(source, target, within)


def remove(address: str) -> None:
    """Remove a file; nothing happens if there is none."""
    _files(address).remove(address)


def names(folder: str) -> list[str]:
    """The names of the files in a folder, sorted; none if there is no such folder."""
    return [entry.name for entry in entries(folder)]


def entries(folder: str) -> list[Entry]:
    """The files of a folder with their facts, sorted by name; none if there is no such folder."""
    return _files(folder).entries(folder)


def tree(folder: str) -> list[Entry]:
    """All files below a folder, named from there, sorted by name; none if there is no such folder."""
    return _files(folder).tree(folder)


def temporary_files(folders: Sequence[str], trees: Sequence[str]) -> list[tuple[str, Entry]]:
    """Address and facts of every local file that is being written, or was when its writer died; S3 has none.

    Args:
        folders: searched themselves, without what is below them.
        trees: searched with everything below them.
    """
    return local.temporary_files(*([place for place in places if not is_s3(place)] for places in (folders, trees)))


def identity(address: str, within: Places | None = None) -> str | None:
    """What tells one content of a file from another; None if there is no such file.

    `sha256:...` for local files, or size and time where they have more than a gigabyte; on S3 the ETag and the size of
    what is stored, whatever its `Content-Encoding`.
    Local ones have to be `within` those places.

    Raises:
        NotAFile, NotAllowed, Forbidden, Unavailable: as their names say.
    """
    return _files(address).identity(address, within)


def identities(addresses: list[str], within: Places | None = None) -> dict[str, str | StorageError | None]:
    """The identity of each file, or the error of the look at it.

    Raises:
        CredentialsExpired: which no file is to blame for.
    """
    told: dict[str, str | StorageError | None] = {}
    told |= s3.identities([address for address in addresses if is_s3(address)])
    rest = [address for address in addresses if address not in told]
    return told | dict(zip(rest, each(partial(_identity_or_error, within=within), rest), strict=True))


def _identity_or_error(address: str, within: Places | None) -> str | StorageError | None:
    try:
        return identity(address, within)
    except CredentialsExpired:
        raise
    except StorageError as error:
        return error


def size(address: str) -> int:
    """How many bytes a file holds.

    Raises:
        NotFound, Forbidden, Unavailable: as their names say.
    """
    return _files(address).size(address)


def shortfalls(output: str) -> list[str]:
    """What the file system of an output did not do for this process, and what that means; S3 does everything."""
    return [] if is_s3(output) else mounts.shortfalls(output)


def each(function: Callable[[Input], Output], inputs: Iterable[Input]) -> list[Output]:
    """The function of every input, several at a time: requests to S3 wait far more than they work."""
    inputs = list(inputs)
    size = max(1, min(CHUNK, len(inputs) // CONCURRENT_REQUESTS))
    chunks = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        try:
            done = pool.map(lambda chunk: [function(one) for one in chunk], chunks)
            return [output for outputs in done for output in outputs]
        except BaseException as error:
            with hurried(error):  # an interruption does not wait until the threads have waited long enough
                pool.shutdown(cancel_futures=True)
            raise


def _files(address: str) -> _Files:
    addresses.check(address)
    return s3 if is_s3(address) else local
