"""What all records are that lie in files."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
