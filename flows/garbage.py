"""What lies in an output for nothing: images without a record, files whose writer died. No torch, no prefect.

A run that is under way writes an image before its record, so nothing young is garbage.
"""

import time
from dataclasses import dataclass

from flows import storage
from flows.ledger import Ledger


@dataclass(frozen=True)
class Garbage:
    """A file that nothing refers to."""

    address: str
    reason: str
    size: int


def find_garbage(output: str, older_than_seconds: float) -> list[Garbage]:
    """Images that no record names, and temporary files, both older than that.

    Raises:
        OutputError: if a record cannot be read: its image would look like garbage.
    """
    before = time.time() - older_than_seconds
    folder = storage.join(output, "images")
    images = storage.entries(folder)  # before the records: whatever is recorded from here on is seen there
    named = Ledger(output).images_of_records()
    found = [
        Garbage(storage.join(folder, image.name), "an image without a record", image.size)
        for image in images
        if image.name not in named and image.modified < before
    ]
    return found + [
        Garbage(address, "a file whose writer died", entry.size)
        for address, entry in storage.temporary_files(output)
        if entry.modified < before
    ]


def remove_garbage(garbage: list[Garbage]) -> None:
    """Remove what was found."""
    storage.each(storage.remove, [one.address for one in garbage])
