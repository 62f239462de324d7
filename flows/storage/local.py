"""Local files: written beside their place, flushed to disk, then linked or renamed into it."""

import errno
import fcntl
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from flows.errors import Forbidden, NotAFile, NotFound, StorageError, TooLarge, Unavailable
from flows.storage.entries import Entry

IMPOSSIBLE = (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""Errors of addresses that no file can have, such as one below a file."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

TEMPORARY = ".tmp-"
"""Start of the names of files that are being written; a killed process may leave one behind."""
TEMPORARY_NAME = re.compile(r"\.tmp-[0-9a-f]{32}$")
LASTING_NAME = re.compile(r"(?!\.tmp-)")


HASHED_BYTES = 1_000_000_000
"""A larger file is told from another by its size and time: no picture or weights file has so many bytes, and to read
them all would take minutes, where they are there at all."""


def read(address: str, max_bytes: int | None, _seconds: float | None = None) -> bytes:
    """See `flows.storage.read`; a local disk has no deadline."""
    with _named_errors(address), _opened(address) as file:
        found = os.fstat(file.fileno()).st_size
        if max_bytes is not None and found > max_bytes:
            raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {found}")
        if not found:  # also what the kernel makes up as it is read, which may be without end
            return b""
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)  # it may have grown
    if max_bytes is not None and len(data) > max_bytes:
        raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found more")
    return data


@contextmanager
def _opened(address: str) -> Iterator[BufferedReader]:
    """An open file. Anything else is not opened, and if it comes in between, not waited for."""
    _check_is_file(address, os.stat(address))
    with open(os.open(address, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        _check_is_file(address, os.fstat(file.fileno()))
        yield file


def _check_is_file(address: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise NotAFile(f"{address}: expected a file, found {kind}")


def create(address: str, data: bytes) -> bool:
    """See `flows.storage.create`."""
    with _named_errors(address), _written_beside(address, data) as temporary:
        try:
            os.link(temporary, address)
        except FileExistsError:
            if os.path.isdir(address):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            return _create_exclusively(address, data)
        return True


def read_with_version(address: str) -> tuple[bytes, str]:
    """See `flows.storage.read_with_version`."""
    data = read(address, None)
    return data, hashlib.sha256(data).hexdigest()


def swap(address: str, version: str, data: bytes) -> bool:
    """See `flows.storage.swap`. One writer at a time holds the folder's lock between the look and the write."""
    with _named_errors(address), _locked(os.path.dirname(address)):
        if read_with_version(address)[1] != version:
            return False
        replace(address, data)
        return True


def replace(address: str, data: bytes) -> None:
    """See `flows.storage.replace`."""
    with _named_errors(address), _written_beside(address, data) as temporary:
        os.replace(temporary, address)


def remove(address: str) -> None:
    """See `flows.storage.remove`."""
    with _named_errors(address), suppress(FileNotFoundError):
        os.unlink(address)


def temporary_files(output: str) -> list[tuple[str, Entry]]:
    """See `flows.storage.temporary_files`. Only where we write: an output may lie in a folder of other things."""
    folders = [output, os.path.join(output, "images"), os.path.join(output, "timelines")]
    folders += [folder for folder, _, _ in os.walk(os.path.join(output, "_nst"))]
    return [(os.path.join(folder, entry.name), entry) for folder in folders for entry in _files(folder, TEMPORARY_NAME)]


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _files(folder, LASTING_NAME)


def _files(folder: str, name: re.Pattern[str]) -> list[Entry]:
    with _named_errors(folder), suppress(FileNotFoundError), os.scandir(folder) as found:
        files = [one for one in found if name.match(one.name) and one.is_file()]
        return sorted(filter(None, map(_entry, files)), key=lambda entry: entry.name)
    return []


def _entry(file: os.DirEntry[str]) -> Entry | None:
    try:
        facts = file.stat()
    except FileNotFoundError:  # gone since it was listed
        return None
    return Entry(file.name, f"{facts.st_mtime_ns}:{facts.st_size}", facts.st_size, facts.st_mtime)


def size(address: str) -> int:
    """See `flows.storage.size`."""
    with _named_errors(address):
        return os.stat(address).st_size


def identity(address: str) -> str | None:
    """See `flows.storage.identity`: by content, because a checkout or a copy changes a file's time, not its bytes."""
    try:
        with _named_errors(address), _opened(address) as file:
            facts = os.fstat(file.fileno())
            if facts.st_size > HASHED_BYTES:
                return f"unread:{facts.st_size}:{facts.st_mtime_ns}"
            digest = hashlib.file_digest(file, "sha256") if facts.st_size else hashlib.sha256()  # as in `read`
            return f"sha256:{digest.hexdigest()}"
    except NotFound:
        return None


@contextmanager
def _written_beside(address: str, data: bytes) -> Iterator[Path]:
    folder = Path(address).parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(folder)


def _create_exclusively(address: str, data: bytes) -> bool:
    """For file systems without hard links. A crash in the middle can leave a part of the file."""
    try:
        file = open(address, "xb")  # noqa: SIM115  # closed below
    except FileExistsError:
        return False
    with file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.unlink(address)
            raise
    return True


def _flush_folder(folder: Path) -> None:
    # The new name itself must reach the disk too. Windows cannot open a folder.
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; what is swapped is never relied on
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _named_errors(address: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{address}: no such file") from error
    except PermissionError as error:
        raise Forbidden(f"{address}: permission denied") from error
    except IsADirectoryError as error:
        raise StorageError(f"{address}: expected a file, found a folder") from error
    except FileExistsError as error:
        raise StorageError(f"{address}: expected a folder above it, found a file") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in IMPOSSIBLE:
            raise NotFound(f"{address}: there cannot be such a file ({error})") from error
        raise Unavailable(f"{address}: {error.strerror or error}") from error
