"""Garbage collection of an output: images that no record names, and temporary files whose writer died.

A run in progress writes an image before its record, so a young file is never garbage. Nor is a file that no run of
this output wrote, or that the latest manifest reads: an output may share its folders with images of the user, or with
those of another output. Imports neither torch nor prefect.
"""

import hashlib
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from flows import storage
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.records import layout

AT_ONCE = 64
"""How many files are removed between two checks that the output is still held."""
_WRITTEN = re.compile(r"(.+)-([0-9a-f]{8})\.[a-z]+")
"""File name of an image or timeline: the pair's id, and the first 8 digits of the sha256 of the file."""
_THUMB = re.compile(rf"{layout.THUMBNAILS}/([0-9a-f]{{32}}-\d+-\d+x\d+\.webp)".encode())


@dataclass(frozen=True)
class Garbage:
    """A file that nothing refers to.

    Attributes:
        address: its address.
        reason: why it is garbage.
        entry: the file as it was listed.
    """

    address: str
    reason: str
    entry: storage.Entry

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.entry.size


def find_garbage(output: str, older_than_seconds: float) -> list[Garbage]:
    """Find old images and timelines that no record names, thumbnails that no page shows, and temporary files.

    Args:
        output: local folder or `s3://` prefix.
        older_than_seconds: the age from which a file can be garbage.

    Raises:
        OutputError: if a record cannot be read: its image would look like garbage.
    """
    before = time.time() - older_than_seconds
    # Listed before the records and pages are read: a file that is named from now on is then seen to be named.
    listed = {
        folder: storage.entries(storage.join(output, folder))
        for folder in (layout.IMAGES, layout.TIMELINES, layout.THUMBNAILS)
    }
    named = Ledger(output).files_of_records()
    shown = _shown_thumbnails(output) if listed[layout.THUMBNAILS] else frozenset()

    def unnamed(folder: str, names: Collection[str], reason: str) -> list[Garbage]:
        # On a file system that ignores case, a file may be listed in the spelling of another pair's id.
        folded = set(map(str.casefold, names))
        return [
            Garbage(storage.join(output, folder, entry.name), reason, entry)
            for entry in listed[folder]
            if entry.name.casefold() not in folded and entry.modified < before
        ]

    return [
        *_of_runs(
            output,
            [
                *unnamed(layout.IMAGES, named.images, "an image without a record"),
                *unnamed(layout.TIMELINES, named.timelines, "a timeline without a record"),
            ],
        ),
        *unnamed(layout.THUMBNAILS, shown, "a small image that no page here shows"),
        *(
            Garbage(address, "a file whose writer died", entry)
            for address, entry in _temporary_files(output)
            if entry.modified < before
        ),
    ]


def _temporary_files(output: str) -> list[tuple[str, storage.Entry]]:
    """List temporary files where runs write, and nowhere else: an output may be a folder with other files in it."""
    folders = [output, *(storage.join(output, folder) for folder in (layout.IMAGES, layout.TIMELINES))]
    return storage.temporary_files(folders, trees=[storage.join(output, layout.STATE)])


def _of_runs(output: str, candidates: list[Garbage]) -> list[Garbage]:
    """Return those files that runs of this output wrote, and that the latest manifest does not read."""
    if not candidates:
        return []
    ids = Ledger(output).planned_here({pair_id for file in candidates if (pair_id := _pair_id(file))})
    inputs = _inputs_of(output)
    ours = [file for file in candidates if _pair_id(file) in ids and file.address not in inputs]
    return [file for file, is_whole in zip(ours, storage.each(_has_sha256_of_its_name, ours), strict=True) if is_whole]


def _pair_id(file: Garbage) -> str | None:
    match = _WRITTEN.fullmatch(storage.name_of(file.address))
    return match and match[1]


def _inputs_of(output: str) -> frozenset[str]:
    """Return the addresses of all images that the latest manifest reads."""
    pairs = latest_run(output).manifest.pairs
    return frozenset(address for pair in pairs for address in pair.pictures.values())


def _has_sha256_of_its_name(file: Garbage) -> bool:
    """Tell whether the sha256 of a file begins with the digits in its name."""
    match, data = _WRITTEN.fullmatch(storage.name_of(file.address)), storage.read_if_there(file.address)
    return match is not None and data is not None and hashlib.sha256(data).hexdigest().startswith(match[2])


def remove_garbage(garbage: list[Garbage], check_hold: Callable[[], None]) -> list[Garbage]:
    """Remove the files that `find_garbage` found, except those that were written since.

    Meanwhile a run may have taken the output over and made the pair of an image without a record again: the image then
    has the same name and the same bytes, and a record.

    Args:
        garbage: the files.
        check_hold: raises an error if another run has taken over the output; called before every `AT_ONCE` files.

    Returns:
        The files that were removed.
    """
    removed: list[Garbage] = []
    for start in range(0, len(garbage), AT_ONCE):
        check_hold()
        part = garbage[start : start + AT_ONCE]
        removed += [file for file, is_gone in zip(part, storage.each(_remove_unchanged, part), strict=True) if is_gone]
    return removed


def _remove_unchanged(file: Garbage) -> bool:
    """Remove a file; return False, and leave it, if it was written since it was listed."""
    found = storage.entry_of(file.address)
    if found is None or found.version != file.entry.version:
        return False
    if abs(found.modified - file.entry.modified) >= 1.0:  # S3 may leave out fractions of a second
        return False
    storage.remove(file.address)
    return True


def _shown_thumbnails(output: str) -> frozenset[str]:
    """Return the names of the thumbnails in all pages next to the results table, copies of earlier pages included.

    The report makes missing thumbnails again, so removing one loses nothing.
    """
    pages = [name for name in storage.names(output) if name.endswith(".html")]
    found = storage.each(lambda name: _THUMB.findall(storage.read_if_there(storage.join(output, name)) or b""), pages)
    return frozenset(name.decode() for names in found for name in names)
