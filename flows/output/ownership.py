"""Whether what lies in an output came from runs: what a run writes again at its end is nobody else's."""

import os

from flows import storage
from flows.errors import OutputError
from flows.records import layout
from flows.wording import printable


def check_ours(output: str) -> None:
    """Refuse a place where files of those names lie, and no run was ever made into.

    Raises:
        OutputError: with their names, or where it is no folder; nothing is written.
    """
    if not storage.is_s3(output) and os.path.exists(output) and not os.path.isdir(output):
        raise OutputError(f"{printable(output)}: expected a folder, found a file; name another place")
    there = set(storage.names(output))
    found = [name for name in layout.REWRITTEN if name in there]
    # Before any of these files a run writes its name down.
    if found and storage.name_of(layout.LATEST_RUN) not in storage.names(storage.join(output, layout.STATE)):
        raise OutputError(
            f"{printable(output)}: expected an output of earlier runs or a place without files of their names, found "
            f"{', '.join(found)}, which no run wrote here and this one would write over; move them away, or name "
            "another --output"
        )
