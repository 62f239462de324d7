"""Folders that are written into, by a handle: what was judged is what is written into, whatever its name leads to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.storage.places import check_written

_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
"""To go through a folder one may not list."""


@contextmanager
def opened(folder: str) -> Iterator[int]:
    """A handle of a folder that is there.

    Raises:
        NotAllowed: if it is not where may be written.
        OSError: as `os.open`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        check_written(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def made(folder: str) -> Iterator[int]:
    """A handle of a folder, which is made with those above it where it is missing.

    Raises:
        NotAllowed: if it, or the one that it would be made in, is not where may be written.
        OSError: as `os.open` and `os.mkdir`.
    """
    try:
        os.close(os.open(folder, _PASS))
    except FileNotFoundError:
        _make(folder)
    with opened(folder) as descriptor:
        yield descriptor


def _make(folder: str) -> None:
    """Make a folder, one below the other, each inside the open one above it."""
    missing: list[str] = []
    above = folder
    while (descriptor := _passed(above)) is None:
        above, name = os.path.split(above)
        above = above or os.curdir
        missing.append(name)
    try:
        while missing:
            check_written(descriptor, above)
            name = missing.pop()
            with suppress(FileExistsError):  # made by another writer just now
                os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, _PASS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, above = below, os.path.join(above, name)
    finally:
        os.close(descriptor)


def _passed(folder: str) -> int | None:
    try:
        return os.open(folder, _PASS)
    except FileNotFoundError:
        return None
