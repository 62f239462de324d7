"""Where an export goes: not into its output nor around it, and over nobody's files."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows import storage
from flows.errors import OutputError
from flows.export.names import folded
from flows.export.state_file import NAME, Kept, read_kept
from flows.output import lease
from flows.storage.places import is_below
from flows.wording import printable, some

EXPORT = lease.Writer(
    "export",
    "dataset",
    ".nst-export-lease.json",
    "Wait for it to end, and export again: what it has copied is there then",
)
"""Who holds a destination; in a hidden file, which no reader of the dataset takes for a part of it."""
METADATA, SUMS = "metadata.csv", "SHA256SUMS"
NAMED = 5
"""Files that one message names."""


@dataclass(frozen=True)
class Destination:
    """A destination that may be written into.

    Attributes:
        address: of the folder or `s3://` prefix.
        kept: what the last export wrote down; of a new one, that it has no files.
        found: the files below it, by name.
        hold: on it, so that two exports do not write each other's list.
    """

    address: str
    kept: Kept
    found: dict[str, storage.Entry]
    hold: lease.Held

    def check_free(self, names: Collection[str]) -> None:
        """Refuse to write over files that no export made: not where file systems know no case, either.

        Raises:
            OutputError: with their names.
        """
        ours = self.kept.files
        theirs = {folded(name) for name in self.found if name not in ours}
        new = [name for name in names if name not in ours]
        known = set(map(folded, ours))
        taken = [
            name
            for name in new
            if folded(name) in theirs or (folded(name) not in known and _is_taken(self.address, name))
        ]
        if taken:
            raise OutputError(f"{self.address}: nothing was written over files of somebody else: {some_files(taken)}")


@contextmanager
def destination(address: str, wanted: Kept) -> Iterator[Destination]:
    """A destination for an export that is to be like `wanted`, held for as long as the block lasts.

    Raises:
        OutputError: it lies in the output or around it, is no folder, or has files that are not of this export.
        OutputBusy: another export is writing there.
        StorageError: if it cannot be read.
    """
    _check_apart(wanted.output, address)
    _kept(address, wanted)  # before anything is written there, a lease included
    with lease.held(address, by=EXPORT) as hold:
        kept = _kept(address, wanted)  # another export may have ended meanwhile
        found = storage.tree(address) if kept is not None else []
        yield Destination(address, kept or wanted, {entry.name: entry for entry in found}, hold)


def _kept(address: str, wanted: Kept) -> Kept | None:
    """What the last export wrote down there; None where the destination is empty."""
    kept = read_kept(address)
    if kept is None:
        # First what lies at the top: a home folder would take minutes to list.
        others = (
            _beside_the_lease(storage.names(address))
            or _beside_the_lease([entry.name for entry in storage.tree(address)])
            or [name for name in (NAME, METADATA, SUMS) if _is_taken(address, name)]
        )
        if others:
            raise OutputError(
                f"{address}: expected an empty folder, or an earlier export of {wanted.output}, "
                f"found files of somebody else: {some_files(others)}"
            )
        return None
    if kept.output != wanted.output:
        raise OutputError(f"{address}: is an export of {kept.output}; export {wanted.output} into another folder")
    if (kept.layout, kept.name) != (wanted.layout, wanted.name):
        raise OutputError(
            f"{address}: was made with --layout {kept.layout} --name {kept.name!a}; ask for the same, or export into "
            "another folder"
        )
    return kept


def _beside_the_lease(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != EXPORT.file]


def _is_taken(address: str, name: str) -> bool:
    """Whether there is anything of that name on a disk: no listing has a link to nothing, or a folder without files."""
    return not storage.is_s3(address) and os.path.lexists(storage.join(address, name))


def some_files(names: Iterable[str]) -> str:
    """The names of the first of some files, and how many more there are."""
    return printable(some(names, NAMED))


def _check_apart(output: str, address: str) -> None:
    if not storage.is_s3(address) and os.path.exists(address) and not os.path.isdir(address):
        raise OutputError(f"{address}: expected a folder, found a file")
    if storage.is_s3(output) != storage.is_s3(address):
        return
    here, there = (one if storage.is_s3(one) else os.path.realpath(one) for one in (output, address))
    if is_below(there, (here,)) or is_below(here, (there,)):
        lies = "is" if here == there else "lies in" if is_below(there, (here,)) else "holds"
        raise OutputError(f"{address}: {lies} the output {output} itself; export into a folder beside it")
