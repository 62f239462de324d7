"""Find the files of a folder that have arrived completely. Imports neither torch nor Prefect.

An S3 object is complete from the moment it exists. A local file may still be being written: it counts as arrived when
two listings, the settle time apart, show the same time and size. A single listing is enough for an old file.
"""

import time
from collections.abc import Callable

from flows import storage
from flows.storage import Entry

SETTLE_SECONDS = 10.0
"""How long a local file must stay unchanged before it counts as complete."""
OLD_SECONDS = 24 * 3600.0
"""The age from which a local file counts as complete at once. A file's time is by the clock of the file system's
machine: ours may be ahead of that, by hours if somebody has set it to another time zone."""


def arrived(folder: str, is_wanted: Callable[[Entry], bool], settle_seconds: float) -> list[Entry]:
    """Return the wanted files that are complete; sleep only if one of them is young enough to be half written.

    Args:
        folder: the address of the folder.
        is_wanted: whether a file is looked at.
        settle_seconds: how long a local file must stay unchanged.
    """
    first = _wanted(folder, is_wanted)
    if not storage.is_local(folder):
        return first
    if all(time.time() - entry.modified > max(settle_seconds, OLD_SECONDS) for entry in first):
        return first
    time.sleep(settle_seconds)
    versions = {entry.name: entry.version for entry in first}
    # A file that has grown or appeared since is left to the next visit.
    return [entry for entry in _wanted(folder, is_wanted) if versions.get(entry.name) == entry.version]


def _wanted(folder: str, is_wanted: Callable[[Entry], bool]) -> list[Entry]:
    return [entry for entry in storage.entries(folder) if is_wanted(entry)]
