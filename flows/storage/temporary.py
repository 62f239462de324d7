"""Temporary files in the system's temporary folder, with errors that name this folder and say how to change it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flows.errors import StorageError
from flows.storage.local_errors import named_in_writing


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """Create an empty, named temporary file, which is removed after the block.

    Writes to it belong in a `named_as_temporary` block, which translates their errors.

    Raises:
        StorageError: it cannot be created, or its last bytes cannot be written.
    """
    with named_as_temporary():
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed below, in `named_as_temporary`
    try:
        yield file
    finally:
        with named_as_temporary():
            file.close()


@contextmanager
def named_as_temporary() -> Iterator[None]:
    """Raise operating system errors of the block as errors of the temporary folder.

    Raises:
        StorageError: it names the folder, and says how to choose another one.
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
    except OSError:  # none of the candidate folders is writable
        return os.environ.get("TMPDIR", "of this machine")
