"""Which files of a folder have arrived whole. No torch, no prefect.

An object on S3 is whole from the moment it is there. A local file may still be on its way: it counts as arrived when
nobody has written to it for a while, or when two looks, that while apart, see the same time and size.
"""

import time
from collections.abc import Callable

from flows import storage
from flows.storage import Entry

SETTLE_SECONDS = 10.0


def arrived(folder: str, is_wanted: Callable[[Entry], bool], settle_seconds: float) -> list[Entry]:
    """The files that are wanted and whole; waits only if one may be half written."""
    first = _wanted(folder, is_wanted)
    if storage.is_s3(folder):
        return first
    # By the clock of the file system's machine, which need not be ours: a file from the future is looked at twice.
    if all(time.time() - entry.modified > settle_seconds for entry in first):
        return first
    time.sleep(settle_seconds)
    versions = {entry.name: entry.version for entry in first}
    # One that has grown, or come since, is for the next time.
    return [entry for entry in _wanted(folder, is_wanted) if versions.get(entry.name) == entry.version]


def _wanted(folder: str, is_wanted: Callable[[Entry], bool]) -> list[Entry]:
    return [entry for entry in storage.entries(folder) if is_wanted(entry)]
