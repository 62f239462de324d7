"""Checks and locks the destination of an export: apart from its output, and without overwriting the user's files."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows import storage
from flows.errors import OutputError
from flows.export.names import folded
from flows.export.state_file import NAME, ExportState, read_state
from flows.output import lease
from flows.storage.places import is_below
from flows.wording import first_few, printable

EXPORT = lease.Writer(
    "export",
    "dataset",
    ".nst-export-lease.json",
    "Wait for it to end, and export again: what it has copied is there then",
)
"""The lease on a destination: in a hidden file, so that no reader takes it for a part of the dataset."""
METADATA, SUMS = "metadata.csv", "SHA256SUMS"
NAMED = 5
"""How many files one message names."""


@dataclass(frozen=True)
class Destination:
    """A destination that this export may write to.

    Attributes:
        address: folder or `s3://` prefix.
        state: state of the last export; without files if there was none.
        existing: name -> entry of each file below the destination.
        hold: the lease on it, so that two exports do not overwrite each other's state file.
    """

    address: str
    state: ExportState
    existing: dict[str, storage.Entry]
    hold: lease.Held

    def check_free(self, names: Collection[str]) -> None:
        """Refuse to overwrite files that no export wrote, also on file systems that ignore case.

        Raises:
            OutputError: if such files exist; the message names them.
        """
        ours = self.state.files
        theirs = {folded(name) for name in self.existing if name not in ours}
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
def open_destination(address: str, wanted: ExportState) -> Iterator[Destination]:
    """Check a destination, and hold the lease on it for the duration of the block.

    Args:
        address: folder or `s3://` prefix.
        wanted: the output, layout and template of this export, without files.

    Raises:
        OutputError: if it is inside the output or contains it, is no folder, or has files that are not of this export.
        OutputBusy: if another export is writing there.
        StorageError: if it cannot be read.
    """
    _check_apart(wanted.output, address)
    _checked_state(address, wanted)  # before anything is written there, the lease included
    with lease.held(address, by=EXPORT) as hold:
        state = _checked_state(address, wanted)  # another export may have ended meanwhile
        storage.sweep(_folders(address, state or wanted))
        entries = storage.tree(address) if state is not None else []
        yield Destination(address, state or wanted, {entry.name: entry for entry in entries}, hold)


def _checked_state(address: str, wanted: ExportState) -> ExportState | None:
    """Return the state of the last export to a destination; None if the destination is empty.

    Raises:
        OutputError: if it has files of the user, or an export of another output, layout or template.
    """
    state = read_state(address)
    if state is None:
        # The top level is listed first: listing all of a home folder would take minutes.
        others = (
            _without_lease(storage.names(address))
            or _without_lease([entry.name for entry in storage.tree(address)])
            or [name for name in (NAME, METADATA, SUMS) if _is_taken(address, name)]
        )
        if others:
            raise OutputError(
                f"{address}: expected an empty folder, or an earlier export of {wanted.output}, "
                f"found files of somebody else: {some_files(others)}"
            )
        return None
    if state.output != wanted.output:
        raise OutputError(f"{address}: is an export of {state.output}; export {wanted.output} into another folder")
    if (state.layout, state.name) != (wanted.layout, wanted.name):
        raise OutputError(
            f"{address}: was made with --layout {state.layout} --name {state.name!a}; ask for the same, or export into "
            "another folder"
        )
    return state


def _folders(address: str, state: ExportState) -> frozenset[str]:
    """Return the folders that exports into a destination have written into."""
    files = (storage.join(address, name) for name in (*state.files, NAME))
    return frozenset(map(storage.parent_of, files))


def _without_lease(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != EXPORT.file]


def _is_taken(address: str, name: str) -> bool:
    """Tell whether a name exists at a local destination, also as a dangling link or an empty folder, which no listing
    shows.
    """
    return storage.is_local(address) and os.path.lexists(storage.join(address, name))


def some_files(names: Iterable[str]) -> str:
    """Return the first of some names for a message, and how many more there are."""
    return printable(first_few(names, NAMED))


def _check_apart(output: str, address: str) -> None:
    """Refuse a destination that is a file, or that is inside the output or contains it."""
    if storage.is_local(address) and os.path.exists(address) and not os.path.isdir(address):
        raise OutputError(f"{address}: expected a folder, found a file")
    if storage.is_local(output) != storage.is_local(address):
        return
    source, target = storage.real_address(output), storage.real_address(address)
    if is_below(target, (source,)) or is_below(source, (target,)):
        lies = "is" if source == target else "lies in" if is_below(target, (source,)) else "holds"
        raise OutputError(f"{address}: {lies} the output {output} itself; export into a folder beside it")
