"""The stub backbone: a documented option that writes made-up images, to try out everything but the stylization.

`--backbone stub` reads, checks, plans, schedules, writes and records as every run does; only the network is left out.
Its results cannot be mistaken for real ones: the table, every record and the log say `backbone=stub`, the image has the
word on it, and its weights hash, which is part of every fingerprint, is not the hash of any file. No torch, no prefect.
"""

import hashlib
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nst_core.backbones.catalogue import WeightsFile

NAME = "stub"

WARNING = "backbone stub: nothing is stylized, every image and every loss is made up"

WEIGHTS = WeightsFile(NAME, "", hashlib.sha256(b"stub").hexdigest())
"""A weights hash that belongs to no file, so that no record of the stub is ever mistaken for a network's."""


class Stub(BaseModel):
    """How the stub behaves, and the ids of pairs for which it simulates a fault. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seconds: float = Field(default=0.0, ge=0.0)
    """How long every pair takes."""
    random: bool = False
    """Whether a pair's bytes differ each time, as they may on a GPU."""
    error: tuple[str, ...] = ()
    """Pairs whose stylization raises an unexpected error."""
    nan: tuple[str, ...] = ()
    """Pairs whose loss is not finite."""
    hang: tuple[str, ...] = ()
    """Pairs that never end."""
    kill: tuple[str, ...] = ()
    """Pairs that kill their worker process."""
    exit: tuple[str, ...] = ()
    """Pairs that end their worker process with exit code 0."""
    lose: tuple[str, ...] = ()
    """Pairs that make their worker process lose its GPU."""
    oom: tuple[str, ...] = ()
    """Pairs that always run out of memory."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Parse a behaviour from `name=value` words.

        Raises:
            ValueError: a word cannot be parsed; the message names it.

        >>> Stub.parsed("seconds=0.5 kill=cat,dog").kill
        ('cat', 'dog')
        """
        values: dict[str, str | tuple[str, ...]] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            field = cls.model_fields.get(name)
            if field is None or not value:
                raise ValueError(f"expected words such as seconds=0.5 or kill=ID,ID, got {word!r}")
            values[name] = tuple(value.split(",")) if field.default == () else value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ValueError(f"{text!r}: {error.errors()[0]['msg']}") from error
