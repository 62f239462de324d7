"""Errors of the operating system translated to this project's error classes, each with advice on what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.errors import Forbidden, NotFound, StorageError, Unavailable
from flows.wording import shortened

IMPOSSIBLE = (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ)
"""Errors for paths at which no file can exist, such as one below a file."""
LONGEST_ADDRESS = 300
"""The length up to which a message shows the whole path; one that is too long for the system has thousands of
characters."""

NOT_READ = "this user may not read it; change its rights"
NOT_WRITTEN = "this user may not write there; change the folder's rights, or name another place"

_HINTS = {
    errno.ENOSPC: "make room there, of bytes or of inodes",
    errno.EDQUOT: "the quota of this user or folder is used up",
    errno.EROFS: "it is mounted for reading alone",
    errno.EFBIG: "the file system or `ulimit -f` allows no file of that size",
    errno.EIO: "the disk, or the way to it, is faulty; the system's log says more",
    errno.ESTALE: "its server no longer knows the folder: mount it again",
    errno.ENOTCONN: "the program that serves it has ended: mount it again",
    errno.EHOSTDOWN: "its server does not answer",
    errno.ETIMEDOUT: "its server does not answer",
    errno.EMFILE: "too many files are open in this process: raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOSYS: "this file system cannot do what a run needs: choose an output on another one",
    errno.ENOTSUP: "this file system cannot do what a run needs: choose an output on another one",
    errno.ETXTBSY: "another program has the file open",
    errno.EBUSY: "another program has the file open",
}
"""Advice by errno; messages of other errors only have the text of the operating system."""


@contextmanager
def named(address: str) -> Iterator[None]:
    """Raise operating system errors of the block as a `StorageError` that names the address."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{address}: no such file") from error
    except (OSError, ValueError) as error:
        raise _classed(address, error) from error


@contextmanager
def named_in_writing(address: str) -> Iterator[None]:
    """Like `named`, for a file that is being written: a "not found" error is then about its folder."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{address}: its folder was removed, or is a link to nowhere") from error
    except NotADirectoryError as error:
        file = _file_above(address)
        raise StorageError(f"{file}: expected a folder, found a file; name another place") from error
    except (OSError, ValueError) as error:
        raise _classed(address, error, NOT_WRITTEN) from error


@contextmanager
def named_in_removing(address: str) -> Iterator[None]:
    """Like `named`, for a file that is being removed: a permission error is then about its folder."""
    try:
        yield
    except PermissionError as error:
        raise _classed(address, error, NOT_WRITTEN) from error
    except (OSError, ValueError) as error:
        raise _classed(address, error) from error


def _file_above(address: str) -> str:
    """Return the ancestor of an address that is a file, not a folder; the address itself if none is found."""
    above = os.path.dirname(address)
    while above != os.path.dirname(above) and not os.path.lexists(above):
        above = os.path.dirname(above)
    return address if os.path.isdir(above) else above


def _classed(address: str, error: OSError | ValueError, forbidden: str = NOT_READ) -> StorageError:
    """Return the `StorageError` for an error; `forbidden` is the text for a permission error."""
    shown = shortened(address, LONGEST_ADDRESS)
    if isinstance(error, PermissionError):
        return Forbidden(f"{shown}: {forbidden}")
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{shown}: expected a file, found a folder")
    if isinstance(error, ValueError) or error.errno in IMPOSSIBLE:
        reason = error if isinstance(error, ValueError) else error.strerror
        advice = "; shorten the name" if getattr(error, "errno", None) == errno.ENAMETOOLONG else ""
        return NotFound(f"{shown}: there cannot be such a file ({reason}){advice}")
    hint = _HINTS.get(error.errno or 0)
    return Unavailable(f"{shown}: {error.strerror or error}{f'; {hint}' if hint else ''}")
