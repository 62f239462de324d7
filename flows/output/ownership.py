"""Checks that the files in an output were written by runs, before a run overwrites them at its end."""

import os

from flows import storage
from flows.errors import OutputError
from flows.records import layout
from flows.wording import printable


def check_ownership(output: str) -> None:
    """Refuse an output that has files which a run would overwrite, if no run was ever made into it.

    Raises:
        OutputError: if there are such files, whose names the message lists, or if the output is no folder; nothing is
            written.
    """
    if storage.is_local(output) and os.path.exists(output) and not os.path.isdir(output):
        raise OutputError(f"{printable(output)}: expected a folder, found a file; name another place")
    existing = set(storage.names(output))
    found = [name for name in layout.REWRITTEN if name in existing or _is_file(storage.join(output, name))]
    # A run writes the marker of the latest run before any of these files, so without the marker they are foreign.
    if found and storage.name_of(layout.LATEST_RUN) not in storage.names(storage.join(output, layout.STATE)):
        raise OutputError(
            f"{printable(output)}: expected an output of earlier runs or a place without files of their names, found "
            f"{', '.join(found)}, which no run wrote here and this one would write over; move them away, or name "
            "another --output"
        )


def _is_file(address: str) -> bool:
    """Tell whether a local file has this name, or on a file system that ignores case, this name in other letters."""
    return storage.is_local(address) and os.path.lexists(address)
