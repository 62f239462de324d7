"""The small types that listings and reads return."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a listing of a folder.

    Attributes:
        name: its path relative to the folder.
        version: a text that changes whenever the file is written: the ETag on S3, time and size of a local file.
        size: in bytes.
        modified: the time of its last change, in seconds since 1970.
    """

    name: str
    version: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of a file, and what identifies exactly these bytes.

    Attributes:
        sha256: the hash of `data`, in hex.
        identity: what `flows.storage.identity` returns for the file that these bytes were read from.
        version_id: S3's id of this version of the object; empty where the bucket keeps no versions.
    """

    data: bytes = field(repr=False)
    sha256: str
    identity: str
    version_id: str = ""
