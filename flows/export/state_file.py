"""What an export writes down of itself beside its files: which they are to be, before the first is written.

A file of that list is ours: it may be written anew. All others are somebody else's.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from flows import storage
from flows.errors import NotFound, OutputError

NAME = ".nst-export.json"
"""Hidden, so that no reader of the dataset takes it for a part of it."""


class KeptFile(BaseModel):
    """One file of an export.

    Attributes:
        sha256: of the picture, or of the shard.
        version: of the file, as a listing told it when it was whole; empty until then.
        size: of a shard, in bytes.
        samples: of a shard: the names of its pictures, each with its sha256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    version: str = ""
    size: int = 0
    samples: dict[str, str] = {}


class Kept(BaseModel):
    """An export: of which output, how it was asked for, and its files by their names below the destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    layout: str
    name: str
    files: dict[str, KeptFile] = {}


def read_kept(destination: str) -> Kept | None:
    """What the last export into a destination wrote down; None where there was none.

    Raises:
        OutputError: if it is damaged.
    """
    address = storage.join(destination, NAME)
    try:
        return Kept.model_validate_json(storage.read(address))
    except NotFound:
        return None
    except ValidationError as error:
        raise OutputError(
            f"{address}: expected what an export wrote down, found something else (damaged, or of another version); "
            "export into another folder"
        ) from error


def write_kept(destination: str, kept: Kept) -> None:
    """Write it down."""
    storage.replace(storage.join(destination, NAME), kept.model_dump_json(exclude_defaults=True).encode())
