"""What a listing tells of one file, and what reading it does."""

from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file's bytes, and what tells just these from others.

    Attributes:
        sha256: of `data`, in hex.
        identity: as `flows.storage.identity` has it of the file that these bytes were read from.
        version_id: S3's name of that version of the object; empty where none is kept.
    """

    data: bytes = field(repr=False)
    sha256: str
    identity: str
    version_id: str = ""
