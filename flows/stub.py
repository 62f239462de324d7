"""The stub backbone, a declared option: made-up pictures instead of stylized ones, to try out all that is around them.

`--backbone stub` reads, checks, plans, schedules, writes and records as every run does; only the network is left out.
Its results can never pass for real ones: the table says `backbone=stub`, every record and log says so, the picture
bears the word, and its weights hash, which is part of every fingerprint, is that of no file. No torch, no prefect.
"""

import hashlib
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nst_core.backbones.catalogue import WeightsFile

NAME = "stub"

WARNING = "backbone stub: nothing is stylized, every picture and every loss is made up"

WEIGHTS = WeightsFile(NAME, "", hashlib.sha256(b"stub").hexdigest())
"""Of no file: so that no record of the stub is ever taken for one of a network."""


class Stub(BaseModel):
    """How the stub behaves, and the ids of the pairs with which it misbehaves. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seconds: float = Field(default=0.0, ge=0.0)
    """That every pair takes."""
    random: bool = False
    """Whether a pair gives other bytes each time, as a GPU may."""
    error: tuple[str, ...] = ()
    """Pairs whose stylization raises an error that nobody expects."""
    nan: tuple[str, ...] = ()
    """Pairs whose loss is not finite."""
    hang: tuple[str, ...] = ()
    """Pairs that never end."""
    kill: tuple[str, ...] = ()
    """Pairs that kill their worker process."""
    exit: tuple[str, ...] = ()
    """Pairs that end their worker process with exit code 0."""
    lose: tuple[str, ...] = ()
    """Pairs that lose their worker process its GPU."""
    oom: tuple[str, ...] = ()
    """Pairs for which there is never enough memory."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """The behaviour that some words describe.

        Raises:
            ValueError: naming the word that cannot be understood.

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
