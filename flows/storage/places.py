"""Where a file or a folder really is, and whether that is where it may be: asked of what is open, not of its name.

A name can lead elsewhere a moment after it was looked at; a handle cannot.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.errors import NotAllowed, Unavailable
from flows.storage.addresses import is_s3

Places = tuple[str, ...]
"""Folders and S3 prefixes without links."""


@dataclass(frozen=True, eq=False)
class _Guard:
    """What is written below an address has to land in one of some places."""

    address: str
    places: Places


_guards: list[_Guard] = []
"""Of the whole process, as its threads write too."""


@contextmanager
def guarded(address: str, places: Places | None) -> Iterator[None]:
    """For as long as the block lasts, write below an address only what really lands in one of these places.

    Where a folder on the way is a link to elsewhere, the write raises NotAllowed. None allows everything.
    """
    guard = _Guard(address, places or ())
    if places is not None:
        _guards.append(guard)
    try:
        yield
    finally:
        if places is not None:
            _guards.remove(guard)


def check_written(descriptor: int, folder: str) -> None:
    """Refuse to write into an open folder that is not where it may be.

    Raises:
        NotAllowed: with what is allowed.
    """
    for guard in tuple(_guards):
        if is_below(folder, (guard.address,)):
            _check(descriptor, folder, guard.places, "written")


def check_read(descriptor: int, address: str, places: Places | None) -> None:
    """Refuse to read an open file that is not where it may be; None allows everything.

    Raises:
        NotAllowed: with what is allowed.
    """
    if places is not None:
        _check(descriptor, address, places, "read")


def is_below(real_address: str, places: Places) -> bool:
    """Whether an address without links lies in one of some places."""
    return any(real_address == place or real_address.startswith(place.rstrip("/") + "/") for place in places)


def refusal(done: str, places: Places) -> str:
    """What is allowed, in words."""
    return f"only what lies in {', '.join(places)} may be {done} here" if places else f"nothing may be {done} here"


def _check(descriptor: int, address: str, places: Places, done: str) -> None:
    if not is_below(_real_path(descriptor, address), _here(places)):
        raise NotAllowed(f"{address}: is, or lies behind, a link to elsewhere; {refusal(done, places)}")


@functools.cache
def _here(places: Places) -> Places:
    """The places as this machine has them: a node of a cluster may reach them by links of its own."""
    return tuple(place if is_s3(place) else os.path.realpath(place) for place in places)


def _real_path(descriptor: int, address: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # no /proc: then the name is looked up, and must still lead to what is open
        real = os.path.realpath(address)
    if not os.path.samestat(os.lstat(real), os.fstat(descriptor)):
        raise Unavailable(f"{address}: was replaced while it was being opened")
    return real
