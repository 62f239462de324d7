"""What file systems of networks and of user space cannot do, and the next strongest way to do it there.

A folder is its open handle. "Cannot" is told from "went wrong": EIO, a full disk and the like are raised.
"""

import ctypes
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOTTY}
CANNOT_FLUSH_FOLDER = CANNOT | {errno.EISDIR, errno.EACCES, errno.EPERM}
CANNOT_LINK = CANNOT | {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK}
"""A file was just made in the same folder: it is not the folder that permission is denied to."""
CANNOT_LOCK = CANNOT | {errno.ENOLCK, errno.EACCES, errno.EPERM, errno.EISDIR}
IN_USE = {errno.EBUSY, errno.ETXTBSY}
"""A file that somebody has open is not replaced on SMB until it is closed."""
IN_USE_SECONDS = 5.0

NO_FLUSH = (
    "it does not say when a file is on its disk (no fsync): a run that is killed loses nothing there, but a power cut "
    "may lose or damage what was written last"
)
NO_EXCLUSIVE = (
    "it has neither hard links nor renames that spare what is there: one run at a time is safe; of two runs on several "
    "machines, each may make the same pair, and the later record stands, whole"
)
NO_LOCKS = "it has no locks: two runs that start at the same moment may both work there, and each record is still whole"

LOCK = ".tmp-lock"
"""Where folders cannot be locked, as on NFS: a file that can; no listing shows it."""
_NOREPLACE = 1  # RENAME_NOREPLACE of linux/fs.h

_said: set[tuple[int, str]] = set()
"""(device, what it does not promise), of all that was written by this process."""
_one_at_a_time = threading.Lock()


def shortfalls(folder: str) -> list[str]:
    """What the file system of a folder did not do when it was asked by this process, each with what it means."""
    with suppress(OSError):
        device = os.stat(folder).st_dev
        return sorted(said for where, said in tuple(_said) if where == device)
    return []


def flush(descriptor: int) -> None:
    """Have a file on its disk, where that can be asked for."""
    _flush(descriptor, CANNOT)


def flush_folder(folder: int) -> None:
    """Have the names of a folder on their disk, where that can be asked for."""
    _flush(folder, CANNOT_FLUSH_FOLDER)


def put_new(folder: int, source: str, name: str) -> bool:
    """Give a file of a folder its name; False if there is one of that name already, which stays as it is."""
    try:
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return _is_same(folder, source, name)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        return _moved_if_new(folder, source, name)
    return True


def put(folder: int, source: str, name: str) -> None:
    """Give a file of a folder its name, in place of what may have it."""
    trying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, OSError) and error.errno in IN_USE),
        stop=stop_after_delay(IN_USE_SECONDS),
        wait=wait_random_exponential(multiplier=0.02, max=0.5),
        reraise=True,
    )
    trying(lambda: os.replace(source, name, src_dir_fd=folder, dst_dir_fd=folder))


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """Be the only one at a folder for as long as the block lasts, as far as its file system has locks."""
    lock = None
    try:
        if not _has_locked(folder):
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666, dir_fd=folder)
            if not _has_locked(lock):
                _tell(folder, NO_LOCKS)
                os.unlink(LOCK, dir_fd=folder)
        with _one_at_a_time:
            yield
    finally:
        if lock is not None:
            os.close(lock)


def _flush(descriptor: int, cannot: set[int]) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in cannot:
            raise
        _tell(descriptor, NO_FLUSH)


def _is_same(folder: int, source: str, name: str) -> bool:
    """Whether a name is that of our own file: an answer of NFS may be lost, and the link that is made again refused."""
    ours = os.stat(source, dir_fd=folder)
    theirs = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(theirs.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return ours.st_nlink > 1 and os.path.samestat(ours, theirs)


def _moved_if_new(folder: int, source: str, name: str) -> bool:
    try:
        _rename_new(folder, source, name)
    except FileExistsError:
        return _is_same(folder, source, name)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
    else:
        return True
    # A lock goes with its process: whenever that is killed, there is the whole file or none, and no lock is left.
    _tell(folder, NO_EXCLUSIVE)
    with locked(folder):
        if _is_there(folder, name):
            return _is_same(folder, source, name)
        put(folder, source, name)
        return True


def _rename_new(folder: int, source: str, name: str) -> None:
    """Linux's rename that replaces nothing; Python has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(folder, os.fsencode(source), folder, os.fsencode(name), _NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _has_locked(descriptor: int) -> bool:
    """Wait for the lock of what is open; False if it can have none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        return False
    return True


def _tell(descriptor: int, said: str) -> None:
    _said.add((os.fstat(descriptor).st_dev, said))
