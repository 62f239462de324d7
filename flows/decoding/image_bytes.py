"""Read image files with bounded memory: many files of usual size in parallel, but only one large file at a time.

`PictureLimits` says which files are accepted at all.
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
"""The largest file, in bytes, that is read without waiting for other readers."""

_one_large = threading.Lock()


@dataclass(frozen=True)
class PictureLimits:
    """Limits on the image files that are accepted.

    Attributes:
        max_bytes: the largest accepted file, in bytes.
        max_pixels: the largest accepted image, in pixels.
        within: the places that local files must be in after links are resolved; None allows any place.
    """

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    within: storage.Places | None = None


@contextmanager
def picture_bytes(
    address: str, max_bytes: int, within: storage.Places | None = None, identity: str = ""
) -> Iterator[storage.Fetched]:
    """Yield a file as `storage.fetch` reads it.

    While the block of a large file runs, no other large file is read, so at most one of them is in memory.

    Args:
        address: the address of the file.
        max_bytes: the largest accepted file, in bytes.
        within: the places that a local file must be in; None allows any place.
        identity: the identity of the content to read; empty reads the current content.

    Raises:
        StorageError: as `storage.fetch` does.
    """
    try:
        fetched = storage.fetch(address, identity, min(max_bytes, USUAL_BYTES), within=within)
    except TooLarge:
        if max_bytes <= USUAL_BYTES:
            raise
    else:
        yield fetched
        return
    with _one_large:
        yield storage.fetch(address, identity, max_bytes, within=within)
