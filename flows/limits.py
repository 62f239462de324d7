"""The operator's limits: which folders and S3 prefixes may be read and written, how much, and how large.

They are set in a TOML file that the environment variable NST_LIMITS names:

    read = ["/data/pictures", "s3://studio-pictures", "s3://shared/styles"]   # folders and S3 prefixes, nothing else
    write = ["/data/stylized", "s3://studio-results/nst"]
    ray = ["ray://head:10001"]                                                # clusters, as written in ray_address
    max_rows = 20_000
    max_image_bytes = 20_000_000
    max_image_pixels = 100_000_000
    [max_options]                                                             # of every pair, no matter whose it is
    size_px = 1024
    steps = 1000

A list that is left out allows everything on the command line, where people act with their own rights. In a
deployment, where the manifest may be anybody's, and with `strict = true`, it allows nothing.
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
from flows.wording import did_you_mean, option_errors
from nst_core.options import StylizeOptions
from nst_core.options.numbers_as_text import words

MAX_ROWS = 100_000
"""The default limit of rows in one manifest."""
MAX_BYTES = 100_000_000
"""The default limit of bytes in one manifest."""
VARIABLE = "NST_LIMITS"
"""The environment variable that names the limits file; worker processes and retries read the same file."""


class Limits(BaseModel):
    """The places, sizes and options that a run may use. The model is frozen and refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    strict: bool = False
    """Whether a list that is left out allows nothing; otherwise it allows everything."""
    read: tuple[str, ...] | None = None
    """Folders and S3 prefixes below which manifests, images and weights may be read."""
    write: tuple[str, ...] | None = None
    """Folders and S3 prefixes below which outputs may be written."""
    ray: tuple[str, ...] | None = None
    """Addresses of Ray clusters on which runs may be executed; the owner of a cluster can run any code here."""
    max_rows: int = Field(default=MAX_ROWS, ge=1)
    """Most rows of one manifest."""
    max_manifest_bytes: int = Field(default=MAX_BYTES, ge=1)
    """Most bytes of one manifest."""
    max_image_bytes: int | None = Field(default=None, ge=1)
    """Most bytes of one image, if less than the engine's own limit."""
    max_image_pixels: int | None = Field(default=None, ge=1)
    """Most pixels of one image, if less than the engine's own limit."""
    max_options: dict[str, float] = Field(default_factory=dict)
    """Numeric options of a pair, each with its largest allowed value."""

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
        """The places that may be read; None means everywhere."""
        return () if self.read is None and self.strict else self.read

    @property
    def readable_by_runs(self) -> tuple[str, ...] | None:
        """The places where files written by runs may be read: `readable` and `writable`; None means everywhere."""
        return None if self.readable is None or self.writable is None else (*self.readable, *self.writable)

    @property
    def writable(self) -> tuple[str, ...] | None:
        """The places that may be written; None means everywhere."""
        return () if self.write is None and self.strict else self.write

    def check_readable(self, address: str, *, is_ours: bool = False) -> None:
        """Raise an error if an address may not be read.

        Args:
            address: the address of a file, folder or prefix.
            is_ours: whether a run wrote it, so that it may also be in a writable place.

        Raises:
            NotAllowed: the address is outside the readable places, which the message lists.
        """
        places = self.readable_by_runs if is_ours else self.readable
        if places is not None and not is_within(address, places):
            raise NotAllowed(f"{address}: {refusal('read', places)}")

    def check_writable(self, address: str) -> None:
        """Raise an error if an address may not be written.

        Raises:
            NotAllowed: the address is outside the writable places, which the message lists.
        """
        if self.writable is not None and not is_within(address, self.writable):
            raise NotAllowed(f"{address}: {refusal('written', self.writable)}")

    def writing(self, address: str) -> AbstractContextManager[None]:
        """Return a context in which each write below an address is checked to end up in a writable place.

        Raises:
            NotAllowed: the address may not be written; or, in the block, a write goes to a folder that is, or is
                reached through, a symbolic link to a place that may not be written.
        """
        self.check_writable(address)
        return storage.guarded(address, self.writable)

    def check_cluster(self, address: str | None) -> None:
        """Raise an error if a Ray cluster may not be used; None, a cluster on this machine only, is always allowed.

        Raises:
            NotAllowed: the cluster is not in the list, which the message gives.
        """
        allowed = () if self.ray is None and self.strict else self.ray
        if address is not None and allowed is not None and address not in allowed:
            listed = f"only {', '.join(allowed)} may be used here" if allowed else "no Ray cluster may be used here"
            raise NotAllowed(f"{address}: {listed} (`ray` in the limits file)")

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise an error if an option exceeds its bound; its value may be text, a number or a list.

        A value that is not a number passes: the validation of the options refuses it later and says what was expected.

        Raises:
            NotAllowed: an option exceeds its bound, which the message gives.
        """
        for name, value in options.items():
            if name in self.max_options and any(number > self.max_options[name] for number in _numbers_in(value)):
                raise NotAllowed(f"{name}: at most {self.max_options[name]:g} is allowed here, got {value}")


def limits_in_force(*, strict: bool = False) -> Limits:
    """Return the operator's limits, or the default limits if no file is named.

    Args:
        strict: the default for `strict` if the file does not set it; True for runs that are not started by a person.

    Raises:
        LimitsError: the file cannot be read or used.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return Limits(strict=strict)
    try:
        values: dict[str, Any] = tomllib.loads(storage.read(from_here(path)).decode())
        return Limits.model_validate({"strict": strict} | values)
    except (StorageError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LimitsError(f"{path}, named by {VARIABLE}, cannot be read: {error}") from error
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        if error.errors()[0]["type"] == "extra_forbidden":
            reason = f"there is no such setting{did_you_mean(name, Limits.model_fields)}"
        raise LimitsError(f"{path}, named by {VARIABLE}: {name}: {reason}") from error


def is_within(address: str, places: tuple[str, ...]) -> bool:
    """Return whether an address is below one of the places; links in a local address are resolved first."""
    return is_below(storage.real_address(address), places)


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))


def _numbers_in(value: Any) -> Iterator[float]:
    """Yield the numbers in an option's value, which is one number or a list."""
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
