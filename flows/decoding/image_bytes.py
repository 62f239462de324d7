"""The bytes of a picture's file: usual ones by many threads at once, of large ones one at a time in memory.

And which files are taken at all.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from flows import storage
from flows.errors import TooLarge
from nst_core.images import MAX_BYTES, MAX_PIXELS

USUAL_BYTES: Final = 50_000_000
"""Up to so many a file is read without asking what others read."""

_one_large = threading.Lock()


@dataclass(frozen=True)
class PictureLimits:
    """Which files are taken as pictures.

    Attributes:
        max_bytes, max_pixels: a picture of more is refused.
        within: where local ones really lie; None is anywhere.
    """

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    within: storage.Places | None = None


@contextmanager
def picture_bytes(
    address: str, max_bytes: int, within: storage.Places | None = None, identity: str = ""
) -> Iterator[storage.Fetched]:
    """A file as `storage.fetch` has it; a large one is held as long as the block lasts, and no other one beside it.

    Whoever does not know its `identity` gets what is there now.

    Raises:
        StorageError: as `storage.fetch`.
    """
    try:
        found = storage.fetch(address, identity, min(max_bytes, USUAL_BYTES), within=within)
    except TooLarge:
        if max_bytes <= USUAL_BYTES:
            raise
    else:
        yield found
        return
    with _one_large:
        yield storage.fetch(address, identity, max_bytes, within=within)
