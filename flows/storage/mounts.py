"""Fallbacks for network and FUSE file systems that lack hard links, exclusive renames, locks or fsync.

Folders are open descriptors. Only errors that mean "not supported" lead to a fallback: EIO, a full disk and the like
are raised. Every fallback that weakens a promise is noted for `shortfalls`.
"""

import ctypes
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tenacity import Retrying, retry_base, retry_if_exception, retry_if_exception_type, wait_random_exponential

from flows.storage.retries import over_after

CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOTTY}
"""The errors that mean "not supported"."""
CANNOT_FLUSH_FOLDER = CANNOT | {errno.EISDIR, errno.EACCES, errno.EPERM}
CANNOT_LINK = CANNOT | {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK}
"""Permission errors mean "not supported" here, as a file was just created in the same folder."""
CANNOT_LOCK = CANNOT | {errno.ENOLCK, errno.EACCES, errno.EPERM, errno.EISDIR}
IN_USE = {errno.EBUSY, errno.ETXTBSY}
"""On SMB a file that another program has open cannot be replaced until it is closed."""
IN_USE_SECONDS = 5.0
LOCK_SECONDS = 30.0
"""How long to wait for a lock. A process holds it for milliseconds, unless it is stopped meanwhile."""
LOCKED = (
    f"expected its folder's lock to be free within {LOCK_SECONDS:.0f} s, found it held by another process, which may "
    "be stopped (Ctrl-Z, `docker pause`); continue or end that one, which `lslocks` lists on its machine, and run again"
)

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
"""The name of a lock file, used where folders cannot be locked, as on NFS; listings leave it out."""
_NOREPLACE = 1  # RENAME_NOREPLACE of linux/fs.h

_noted: set[tuple[int, str]] = set()
"""The shortfalls that writes of this process met, each as (device, description)."""
_thread_lock = threading.Lock()


def shortfalls(folder: str) -> list[str]:
    """Return what the file system of a folder refused to this process, and what each refusal means."""
    with suppress(OSError):
        device = os.stat(folder).st_dev
        return sorted(note for where, note in tuple(_noted) if where == device)
    return []


def flush(descriptor: int) -> None:
    """Flush a file to its disk, where the file system supports fsync."""
    _flush(descriptor, CANNOT)


def flush_folder(folder: int) -> None:
    """Flush the directory entries of a folder to disk, where the file system supports it."""
    _flush(folder, CANNOT_FLUSH_FOLDER)


def put_new(folder: int, source: str, name: str) -> bool:
    """Give a temporary file its final name; if a file of that name exists, leave it as it is and return False."""
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
    """Give a temporary file its final name, in place of any file that has it."""
    in_use = retry_if_exception(lambda error: isinstance(error, OSError) and error.errno in IN_USE)
    _retrying(in_use, IN_USE_SECONDS)(lambda: os.replace(source, name, src_dir_fd=folder, dst_dir_fd=folder))


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """Hold the exclusive lock of a folder for as long as the block lasts, as far as its file system has locks.

    Raises:
        BlockingIOError: if another process holds it for too long.
    """
    lock = None
    try:
        if not _acquire(folder):
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666, dir_fd=folder)
            if not _acquire(lock):
                _note(folder, NO_LOCKS)
                os.unlink(LOCK, dir_fd=folder)
        with _thread_lock:
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
        _note(descriptor, NO_FLUSH)


def _is_same(folder: int, source: str, name: str) -> bool:
    """Return whether a name already links to our own file.

    NFS may lose the response to a link, repeat it, and report that the name exists.
    """
    ours = os.stat(source, dir_fd=folder)
    theirs = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(theirs.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return ours.st_nlink > 1 and os.path.samestat(ours, theirs)


def _moved_if_new(folder: int, source: str, name: str) -> bool:
    """Do what `put_new` does on a file system without hard links."""
    try:
        _rename_new(folder, source, name)
    except FileExistsError:
        return _is_same(folder, source, name)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
    else:
        return True
    # A killed process loses its lock, so the name then has the whole file or none, and nobody waits for the lock.
    _note(folder, NO_EXCLUSIVE)
    with locked(folder):
        if _is_there(folder, name):
            return _is_same(folder, source, name)
        put(folder, source, name)
        return True


def _rename_new(folder: int, source: str, name: str) -> None:
    """Rename a file without replacing an existing one, by Linux's `renameat2`, which Python does not offer."""
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


def _acquire(descriptor: int) -> bool:
    """Wait for the lock of a file or folder; return False if it does not support locks.

    The system's own way to wait has no limit, and a holder that is stopped would block every other run there.

    Raises:
        BlockingIOError: if another process holds it for longer than `LOCK_SECONDS`.
    """
    retrying = _retrying(retry_if_exception_type(BlockingIOError), LOCK_SECONDS)
    try:
        retrying(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, LOCKED) from error
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        return False
    return True


def _retrying(retry: retry_base, seconds: float) -> Retrying:
    wait = wait_random_exponential(multiplier=0.02, max=0.5)
    return Retrying(retry=retry, stop=over_after(seconds), wait=wait, reraise=True)


def _note(descriptor: int, note: str) -> None:
    _noted.add((os.fstat(descriptor).st_dev, note))
