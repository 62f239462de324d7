"""Read a manifest from standard input, for which `-` is given in place of an address."""

import functools
import sys

from flows import storage
from flows.errors import ManifestError
from flows.storage.addresses import working_folder

STANDARD_INPUT = "-"
NAME = "standard-input"
"""The manifest's name in messages. Relative addresses in it are relative to the working folder."""


def address_of(manifest: str) -> str:
    """Return the absolute address of a manifest as given by the user; `-` is standard input.

    Raises:
        NotAllowed: the text is not a valid address.
        NotFound: it is relative to the working folder, which does not exist any more.
    """
    return storage.join(working_folder(), NAME) if manifest == STANDARD_INPUT else storage.absolute(manifest)


@functools.cache
def standard_input(max_bytes: int) -> bytes:
    """Return all of standard input, which is read once and cached.

    Raises:
        ManifestError: there are more than `max_bytes` bytes.
    """
    data = sys.stdin.buffer.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ManifestError(f"{NAME}: expected at most {max_bytes:,} bytes, found more; split it")
    return data
