"""A manifest on standard input: `-` in place of an address."""

import functools
import sys

from flows import storage
from flows.errors import ManifestError
from flows.storage.addresses import working_folder

STANDARD_INPUT = "-"
NAME = "standard-input"
"""What it is called in messages. Relative addresses in it start from the working folder."""


def address_of(manifest: str) -> str:
    """The absolute address of a manifest as it is typed; `-` is standard input.

    Raises:
        NotAllowed: if it is none.
        NotFound: if it starts from a working folder that is gone.
    """
    return storage.join(working_folder(), NAME) if manifest == STANDARD_INPUT else storage.absolute(manifest)


@functools.cache
def standard_input(max_bytes: int) -> bytes:
    """All of standard input: read once, and given whenever it is asked for.

    Raises:
        ManifestError: if it is more than may be.
    """
    data = sys.stdin.buffer.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ManifestError(f"{NAME}: expected at most {max_bytes:,} bytes, found more; split it")
    return data
