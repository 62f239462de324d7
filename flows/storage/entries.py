"""What a listing tells of one file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a folder.

    Attributes:
        name: without the folder.
        version: changes whenever the file is written anew: the ETag on S3, time and size of a local file.
        size: in bytes.
        modified: when, in seconds since 1970.
    """

    name: str
    version: str
    size: int
    modified: float
