"""The state file of an export: the list of its files, written before the first of them.

A file in that list belongs to the export and may be overwritten. All other files belong to the user.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from flows import storage
from flows.errors import NotFound, OutputError

NAME = ".nst-export.json"
"""Name of the state file: a hidden one, so that no reader takes it for a part of the dataset."""


class ExportedFile(BaseModel):
    """One file of an export.

    Attributes:
        sha256: sha256 of the image or shard.
        version: version of the file from a listing after it was written completely; empty until then.
        size: size of a shard in bytes; 0 for an image.
        samples: for a shard: name of each of its images -> sha256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    version: str = ""
    size: int = 0
    samples: dict[str, str] = {}


class ExportState(BaseModel):
    """The state of an export.

    Attributes:
        output: address of the output that was exported.
        layout: layout of the dataset.
        name: template of the images' names.
        files: name below the destination -> file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    layout: str
    name: str
    files: dict[str, ExportedFile] = {}


def read_state(destination: str) -> ExportState | None:
    """Read the state of the last export into a destination; None if there was no export.

    Raises:
        OutputError: if the state file is damaged.
    """
    address = storage.join(destination, NAME)
    try:
        return ExportState.model_validate_json(storage.read(address))
    except NotFound:
        return None
    except ValidationError as error:
        raise OutputError(
            f"{address}: expected what an export wrote down, found something else (damaged, or of another version); "
            "export into another folder"
        ) from error


def write_state(destination: str, state: ExportState) -> None:
    """Write the state of an export to its destination."""
    storage.replace(storage.join(destination, NAME), state.model_dump_json(exclude_defaults=True).encode())
