"""Folders opened by descriptor for writing, so that the folder that passed the access check is the one written into.

Its path may be replaced by a link between the check and the write; an open descriptor cannot.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.storage.places import check_written

_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
"""Flags to open a folder in order to pass through it, without the right to list it."""


@contextmanager
def opened(folder: str) -> Iterator[int]:
    """Open an existing folder for as long as the block lasts; yields its descriptor.

    Raises:
        NotAllowed: it does not lie where this process may write.
        OSError: the errors of `os.open`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        check_written(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def created(folder: str) -> Iterator[int]:
    """Open a folder for as long as the block lasts, and create it and its parents if missing; yields its descriptor.

    Raises:
        NotAllowed: it, or the folder in which it would be created, does not lie where this process may write.
        OSError: the errors of `os.open` and `os.mkdir`.
    """
    try:
        os.close(os.open(folder, _PASS))
    except FileNotFoundError:
        _create(folder)
    with opened(folder) as descriptor:
        yield descriptor


def _create(folder: str) -> None:
    """Create a folder and its missing parents from the top down, each by the open descriptor of its parent."""
    missing: list[str] = []
    above = folder
    while (descriptor := _open_existing(above)) is None:
        above, name = os.path.split(above)
        above = above or os.curdir
        missing.append(name)
    try:
        while missing:
            check_written(descriptor, above)
            name = missing.pop()
            with suppress(FileExistsError):  # another writer has just created it
                os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, _PASS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, above = below, os.path.join(above, name)
    finally:
        os.close(descriptor)


def _open_existing(folder: str) -> int | None:
    """Return the descriptor of an existing folder; None if it does not exist."""
    try:
        return os.open(folder, _PASS)
    except FileNotFoundError:
        return None
