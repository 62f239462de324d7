"""What lies in an output for nothing: pictures that nothing names, files whose writer died. No torch, no prefect.

A run that is under way writes an image before its record, so nothing young is garbage. Nor is a file that no run wrote:
an output may lie where somebody has pictures of their own, in a folder of the same name.
"""

import hashlib
import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from flows import storage
from flows.errors import NotFound
from flows.output.ledger import Ledger

IMAGES, TIMELINES, THUMBS = "images", "timelines", "_nst/thumbs"
REPORT = "report.html"
_WRITTEN = re.compile(r".+-([0-9a-f]{8})\.[a-z]+")
"""How a run calls images and timelines: with the beginning of the sha256 of what is in them."""
_THUMB = re.compile(rb"_nst/thumbs/([0-9a-f]{32}-\d+-\d+x\d+\.webp)")


@dataclass(frozen=True)
class Garbage:
    """A file that nothing refers to."""

    address: str
    reason: str
    size: int


def find_garbage(output: str, older_than_seconds: float) -> list[Garbage]:
    """Images and timelines that no record names, small pictures that no page shows, and temporary files: the old ones.

    Raises:
        OutputError: if a record cannot be read: its image would look like garbage.
    """
    before = time.time() - older_than_seconds
    # Before the records and the page: whatever is named from here on is seen there.
    lying = {folder: storage.entries(storage.join(output, folder)) for folder in (IMAGES, TIMELINES, THUMBS)}
    named = Ledger(output).files_of_records()
    shown = _shown(output) if lying[THUMBS] else frozenset()

    def unnamed(folder: str, names: Collection[str], reason: str) -> list[Garbage]:
        return [
            Garbage(storage.join(output, folder, entry.name), reason, entry.size)
            for entry in lying[folder]
            if entry.name not in names and entry.modified < before
        ]

    return [
        *_of_runs(unnamed(IMAGES, named.images, "an image without a record")),
        *_of_runs(unnamed(TIMELINES, named.timelines, "a timeline without a record")),
        *unnamed(THUMBS, shown, f"a small picture that {REPORT} does not show"),
        *(
            Garbage(address, "a file whose writer died", entry.size)
            for address, entry in storage.temporary_files(output)
            if entry.modified < before
        ),
    ]


def _of_runs(found: list[Garbage]) -> list[Garbage]:
    """Those of some files that a run wrote."""
    return [one for one, ours in zip(found, storage.each(_is_of_a_run, found), strict=True) if ours]


def _is_of_a_run(found: Garbage) -> bool:
    """Whether the name says what is in the file, as no name that people give does."""
    said = _WRITTEN.fullmatch(storage.name_of(found.address))
    if said is None:
        return False
    try:
        return hashlib.sha256(storage.read(found.address)).hexdigest().startswith(said[1])
    except NotFound:  # removed meanwhile
        return False


def remove_garbage(garbage: list[Garbage]) -> None:
    """Remove what was found."""
    storage.each(storage.remove, [one.address for one in garbage])


def _shown(output: str) -> frozenset[str]:
    """The small pictures that the page refers to; none where there is no page: they can be made again at any time."""
    try:
        page = storage.read(storage.join(output, REPORT))
    except NotFound:
        return frozenset()
    return frozenset(found.decode() for found in _THUMB.findall(page))
