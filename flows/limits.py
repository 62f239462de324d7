"""What the operator allows: which folders and S3 prefixes are read and written, how much, and how large.

The file named by the environment variable NST_LIMITS (TOML) says it:

    read = ["/data/pictures", "s3://studio-pictures", "s3://shared/styles"]   # folders and S3 prefixes, nothing else
    write = ["/data/stylized", "s3://studio-results/nst"]
    ray = ["ray://head:10001"]                                                # clusters, as written in ray_address
    max_rows = 20_000
    max_image_bytes = 20_000_000
    max_image_pixels = 100_000_000
    [max_options]                                                             # of every pair, whoever asked for it
    size_px = 1024
    steps = 1000

A list that is left out allows everything at the command line, where a person acts with their own rights, and nothing
in a deployment or with `strict = true`, where the manifest may be anybody's.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flows import storage
from flows.errors import LimitsError, NotAllowed, StorageError
from flows.storage.addresses import from_here, problem_of
from flows.storage.places import is_below, refusal
from flows.storage.spellings import plain
from flows.wording import meant, option_errors
from nst_core.options import StylizeOptions
from nst_core.options.numbers_as_text import words

MAX_ROWS = 100_000
MAX_BYTES = 100_000_000
"""Of one manifest, where the operator says nothing."""
VARIABLE = "NST_LIMITS"
"""Environment variable that names the limits file; worker processes and retries read the same one."""


class Limits(BaseModel):
    """What a run may touch. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    strict: bool = False
    """Whether a list that is left out allows nothing; otherwise it allows everything."""
    read: tuple[str, ...] | None = None
    """Folders and S3 prefixes below which manifests, pictures and weights may lie."""
    write: tuple[str, ...] | None = None
    """Folders and S3 prefixes below which an output may lie."""
    ray: tuple[str, ...] | None = None
    """Addresses of Ray clusters that runs may be carried out on; whoever runs one can run anything here."""
    max_rows: int = Field(default=MAX_ROWS, ge=1)
    """Rows of one manifest."""
    max_manifest_bytes: int = Field(default=MAX_BYTES, ge=1)
    """Bytes of one manifest."""
    max_image_bytes: int | None = Field(default=None, ge=1)
    """Bytes of one picture, where that is to be less than the engine's own limit."""
    max_image_pixels: int | None = Field(default=None, ge=1)
    """Pixels of one picture, likewise."""
    max_options: dict[str, float] = Field(default_factory=dict)
    """The most that a numeric option of a pair may be."""

    @field_validator("read", "write")
    @classmethod
    def _are_places(cls, places: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if places is None else tuple(_place(place) for place in places)

    @field_validator("max_options")
    @classmethod
    def _are_options(cls, bounds: dict[str, float]) -> dict[str, float]:
        for name in bounds:
            field = StylizeOptions.model_fields.get(name)
            if field is None or not _is_number(field.annotation):
                raise ValueError(f"expected the name of a numeric option of a pair, got {name!r}")
        return bounds

    @property
    def readable(self) -> tuple[str, ...] | None:
        """Where may be read; None: everywhere."""
        return () if self.read is None and self.strict else self.read

    @property
    def readable_of_ours(self) -> tuple[str, ...] | None:
        """Where what runs have written may be read: also where outputs may lie; None: everywhere."""
        return None if self.readable is None or self.writable is None else (*self.readable, *self.writable)

    @property
    def writable(self) -> tuple[str, ...] | None:
        """Where may be written; None: everywhere."""
        return () if self.write is None and self.strict else self.write

    def check_readable(self, address: str, *, is_ours: bool = False) -> None:
        """Refuse to read what lies elsewhere.

        Args:
            address: of a file, folder or prefix.
            is_ours: whether a run has written it.

        Raises:
            NotAllowed: with what is allowed.
        """
        places = self.readable_of_ours if is_ours else self.readable
        if places is not None and not is_within(address, places):
            raise NotAllowed(f"{address}: {refusal('read', places)}")

    def check_writable(self, address: str) -> None:
        """Refuse to write elsewhere.

        Raises:
            NotAllowed: with what is allowed.
        """
        if self.writable is not None and not is_within(address, self.writable):
            raise NotAllowed(f"{address}: {refusal('written', self.writable)}")

    def writing(self, address: str) -> AbstractContextManager[None]:
        """For as long as the block lasts, write below an address only what really lands where may be written.

        Raises:
            NotAllowed: of each write whose folder is, or lies behind, a link to elsewhere.
        """
        self.check_writable(address)
        return storage.guarded(address, self.writable)

    def check_cluster(self, address: str | None) -> None:
        """Refuse a Ray cluster that is not listed; one on this machine alone is always allowed.

        Raises:
            NotAllowed: with what is allowed.
        """
        allowed = () if self.ray is None and self.strict else self.ray
        if address is not None and allowed is not None and address not in allowed:
            listed = f"only {', '.join(allowed)} may be used here" if allowed else "no Ray cluster may be used here"
            raise NotAllowed(f"{address}: {listed} (`ray` in the limits file)")

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse options, asked for as text, number or list, that are beyond their bound.

        What is no number passes: whoever makes options of it refuses it, with what was expected.

        Raises:
            NotAllowed: with what is allowed.
        """
        for name, value in options.items():
            if name in self.max_options and any(number > self.max_options[name] for number in _numbers_in(value)):
                raise NotAllowed(f"{name}: at most {self.max_options[name]:g} is allowed here, got {value}")


def limits_in_force(*, strict: bool = False) -> Limits:
    """The operator's limits, or those that hold where no file is named.

    Args:
        strict: what holds where the file does not say it: True for whatever is not started by a person.

    Raises:
        LimitsError: if the file cannot be read or used.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return Limits(strict=strict)
    try:
        given: dict[str, Any] = tomllib.loads(storage.read(from_here(path)).decode())
        return Limits.model_validate({"strict": strict} | given)
    except (StorageError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LimitsError(f"{path}, named by {VARIABLE}, cannot be read: {error}") from error
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        if error.errors()[0]["type"] == "extra_forbidden":
            reason = f"there is no such setting{meant(name, Limits.model_fields)}"
        raise LimitsError(f"{path}, named by {VARIABLE}: {name}: {reason}") from error


def is_within(address: str, places: tuple[str, ...]) -> bool:
    """Whether an address lies in one of some places; of a local one, what it leads to counts, not how it is written."""
    if not storage.is_s3(address):
        address = os.path.realpath(address)
    return is_below(address, places)


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))


def _numbers_in(value: Any) -> Iterator[float]:
    """The numbers of an option's value: itself, or what a list holds."""
    parts = words(value)
    for part in parts if isinstance(parts, list | tuple) else (parts,):
        with suppress(TypeError, ValueError):
            yield float(part)


def _place(place: str) -> str:
    place = plain(place)
    if storage.is_s3(place):
        if problem := problem_of(place):
            raise ValueError(problem)
        if place.endswith("//"):
            raise ValueError("expected at most one '/' at the end of an S3 prefix")
        return place.removesuffix("/")
    if not os.path.isabs(place):
        raise ValueError(f"expected an absolute folder or s3://bucket/prefix, got {place!r}")
    return os.path.realpath(place)
