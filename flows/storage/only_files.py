"""Files are opened, and nothing else is: a pipe would be waited for, a device has no end."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from flows.errors import NotAFile

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def opened_file(address: str) -> Iterator[BufferedReader]:
    """An open file. Anything else is not opened, and if it comes in between, not waited for.

    Raises:
        NotAFile: with what it is.
        OSError: as the system says.
    """
    _check(address, os.stat(address))
    with open(os.open(address, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        _check(address, os.fstat(file.fileno()))
        yield file


def _check(address: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise NotAFile(f"{address}: expected a file, found {kind}")
