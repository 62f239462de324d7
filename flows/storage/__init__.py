"""Every byte read or written, local and S3 alike.

An address is an absolute local path or `s3://bucket/key`. Both kinds offer the same promises:

- `read` gives the whole file or an error, never a part of it;
- `create` makes a new file or leaves the one that is there: two writers have exactly one winner;
- `replace` puts a whole new file in place of the old one: a reader sees the old or the new one, nothing between.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from flows.storage import addresses, local, s3
from flows.storage.addresses import absolute, check, is_s3, join, name_of, parent_of, real

__all__ = [
    "absolute",
    "check",
    "create",
    "each",
    "identity",
    "is_s3",
    "join",
    "name_of",
    "names",
    "parent_of",
    "read",
    "real",
    "remove",
    "replace",
    "size",
]

Input = TypeVar("Input")
Output = TypeVar("Output")

CONCURRENT_REQUESTS = 16


class _Files(Protocol):
    def read(self, address: str, max_bytes: int | None) -> bytes: ...
    def create(self, address: str, data: bytes) -> bool: ...
    def replace(self, address: str, data: bytes) -> None: ...
    def remove(self, address: str) -> None: ...
    def names(self, folder: str) -> list[str]: ...
    def identity(self, address: str) -> str | None: ...
    def size(self, address: str) -> int: ...


def read(address: str, max_bytes: int | None = None) -> bytes:
    """The bytes of a file.

    Raises:
        NotFound, Forbidden, Unavailable: as their names say.
        TooLarge: if it holds more than `max_bytes`; no more than that is read.
    """
    return _files(address).read(address, max_bytes)


def create(address: str, data: bytes) -> bool:
    """Make a new file; False if there is one already, which stays as it is. `data` must not be empty.

    On S3 also True if what is there holds the same bytes: the answer to our own write may have been lost.
    """
    return _files(address).create(address, data)


def replace(address: str, data: bytes) -> None:
    """Write a file, whole, in place of what may be there."""
    _files(address).replace(address, data)


def remove(address: str) -> None:
    """Remove a file; nothing happens if there is none."""
    _files(address).remove(address)


def names(folder: str) -> list[str]:
    """The names of the files in a folder, sorted; none if there is no such folder."""
    return _files(folder).names(folder)


def identity(address: str) -> str | None:
    """What tells one content of a file from another; None if there is no such file.

    `sha256:...` for local files, the ETag and the size on S3.
    """
    return _files(address).identity(address)


def size(address: str) -> int:
    """How many bytes a file holds.

    Raises:
        NotFound, Forbidden, Unavailable: as their names say.
    """
    return _files(address).size(address)


def each(function: Callable[[Input], Output], inputs: Iterable[Input]) -> list[Output]:
    """The function of every input, several at a time: requests to S3 wait far more than they work."""
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        return list(pool.map(function, inputs))


def _files(address: str) -> _Files:
    addresses.check(address)
    return s3 if is_s3(address) else local
