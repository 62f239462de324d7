"""The base class of all types that are stored as JSON."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A pydantic model that is immutable and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
