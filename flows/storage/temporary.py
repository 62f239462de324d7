"""A file for a while, in the system's temporary folder: where that is full or gone, it is named, and what to do."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flows.errors import StorageError
from flows.storage.local_errors import named_in_writing


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """An empty file that has a name, gone at the end. What is written into it is named by `named_as_temporary`.

    Raises:
        StorageError: if it cannot be made, or what was written last not be kept.
    """
    with named_as_temporary():
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed below, by name
    try:
        yield file
    finally:
        with named_as_temporary():
            file.close()


@contextmanager
def named_as_temporary() -> Iterator[None]:
    """Raise what the system says in the block as an error of the temporary folder.

    Raises:
        StorageError: with the folder, and how to have another one.
    """
    try:
        yield
    except OSError as error:
        raise _named(error) from error


def _named(error: OSError) -> StorageError:
    try:
        with named_in_writing(f"the temporary folder {_folder()}"):
            raise error
    except StorageError as named:
        return type(named)(f"{named}; TMPDIR names another one")


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none of those that are tried can be written into
        return os.environ.get("TMPDIR", "of this machine")
