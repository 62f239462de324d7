"""Opens regular files only: opening a pipe would block, and reading a device may never end."""

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
    """Open a regular file for reading.

    Anything else is refused before it is opened; if one takes its place just then, opening it does not block.

    Raises:
        NotAFile: it is something else; the message says what.
        OSError: the error of the operating system.
    """
    _check(address, os.stat(address))
    with open(os.open(address, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        _check(address, os.fstat(file.fileno()))
        yield file


def _check(address: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise NotAFile(f"{address}: expected a file, found {kind}")
