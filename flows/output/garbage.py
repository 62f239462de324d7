"""What lies in an output for nothing: pictures that nothing names, files whose writer died. No torch, no prefect.

A run that is under way writes an image before its record, so nothing young is garbage. Nor is a file that no run of
this output wrote, or that its latest manifest asks for: an output may lie where somebody has pictures of their own, or
those of another output, in a folder of the same name.
"""

import hashlib
import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from flows import storage
from flows.errors import NotFound
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.records import layout

_WRITTEN = re.compile(r"(.+)-([0-9a-f]{8})\.[a-z]+")
"""How a run calls images and timelines: by the pair, and the beginning of the sha256 of what is in them."""
_THUMB = re.compile(rf"{layout.THUMBNAILS}/([0-9a-f]{{32}}-\d+-\d+x\d+\.webp)".encode())


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
    lying = {
        folder: storage.entries(storage.join(output, folder))
        for folder in (layout.IMAGES, layout.TIMELINES, layout.THUMBNAILS)
    }
    named = Ledger(output).files_of_records()
    shown = _shown(output) if lying[layout.THUMBNAILS] else frozenset()

    def unnamed(folder: str, names: Collection[str], reason: str) -> list[Garbage]:
        return [
            Garbage(storage.join(output, folder, entry.name), reason, entry.size)
            for entry in lying[folder]
            if entry.name not in names and entry.modified < before
        ]

    return [
        *_of_runs(
            output,
            [
                *unnamed(layout.IMAGES, named.images, "an image without a record"),
                *unnamed(layout.TIMELINES, named.timelines, "a timeline without a record"),
            ],
        ),
        *unnamed(layout.THUMBNAILS, shown, "a small picture that no page here shows"),
        *(
            Garbage(address, "a file whose writer died", entry.size)
            for address, entry in _temporary_files(output)
            if entry.modified < before
        ),
    ]


def _temporary_files(output: str) -> list[tuple[str, storage.Entry]]:
    """Only where runs write: an output may lie in a folder of other things."""
    folders = [output, *(storage.join(output, folder) for folder in (layout.IMAGES, layout.TIMELINES))]
    return storage.temporary_files(folders, trees=[storage.join(output, layout.STATE)])


def _of_runs(output: str, found: list[Garbage]) -> list[Garbage]:
    """Those of some files that runs of this output wrote, and nobody asks for."""
    if not found:
        return []
    ids = Ledger(output).planned_here({pair_id for one in found if (pair_id := _pair_id(one))})
    asked_for = _pictures_of(output)
    ours = [one for one in found if _pair_id(one) in ids and one.address not in asked_for]
    return [one for one, is_whole in zip(ours, storage.each(_holds_what_it_says, ours), strict=True) if is_whole]


def _pair_id(found: Garbage) -> str | None:
    said = _WRITTEN.fullmatch(storage.name_of(found.address))
    return said and said[1]


def _pictures_of(output: str) -> frozenset[str]:
    """What the rows of the latest manifest are made of."""
    pairs = latest_run(output).manifest.pairs
    return frozenset(address for pair in pairs for address in pair.pictures.values())


def _holds_what_it_says(found: Garbage) -> bool:
    """Whether the sum in the name is that of the file."""
    said = _WRITTEN.fullmatch(storage.name_of(found.address))
    try:
        return said is not None and hashlib.sha256(storage.read(found.address)).hexdigest().startswith(said[2])
    except NotFound:  # removed meanwhile
        return False


def remove_garbage(garbage: list[Garbage]) -> None:
    """Remove what was found."""
    storage.each(storage.remove, [one.address for one in garbage])


def _shown(output: str) -> frozenset[str]:
    """The small pictures that pages beside the table refer to, copies of earlier ones too; they can be made again."""
    pages = [name for name in storage.names(output) if name.endswith(".html")]
    found = storage.each(lambda name: _THUMB.findall(_read(storage.join(output, name))), pages)
    return frozenset(name.decode() for names in found for name in names)


def _read(address: str) -> bytes:
    try:
        return storage.read(address)
    except NotFound:  # removed meanwhile
        return b""
