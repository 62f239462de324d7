"""Access control: whether an open file or folder really lies in one of the allowed places, with links resolved.

The check takes an open descriptor, as a path may be replaced by a link between its check and its use.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.errors import NotAllowed, Unavailable
from flows.storage.addresses import is_local

Places = tuple[str, ...]
"""Folders and S3 prefixes, with all links resolved."""


@dataclass(frozen=True, eq=False)
class _Guard:
    """A rule in force: every write below an address has to land in one of the places."""

    address: str
    places: Places


_guards: list[_Guard] = []
"""The rules in force. They are global to the process, as its threads write too."""


@contextmanager
def guarded(address: str, places: Places | None) -> Iterator[None]:
    """Refuse writes below an address that do not really land in one of these places, for as long as the block lasts.

    If a folder on the path is a link that leads elsewhere, the write raises NotAllowed. None allows every place.
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
    """Check that this process may write into an open folder.

    Raises:
        NotAllowed: it may not; the message says which places are allowed.
    """
    for guard in tuple(_guards):
        if is_below(folder, (guard.address,)):
            _check(descriptor, folder, guard.places, "written")


def check_read(descriptor: int, address: str, places: Places | None) -> None:
    """Check that an open file lies in one of the places; None allows every place.

    Raises:
        NotAllowed: it does not; the message says which places are allowed.
    """
    if places is not None:
        _check(descriptor, address, places, "read")


def is_below(real_address: str, places: Places) -> bool:
    """Return whether an address, with all links resolved, lies in one of the places."""
    return any(real_address == place or real_address.startswith(place.rstrip("/") + "/") for place in places)


def refusal(done: str, places: Places) -> str:
    """Describe which places are allowed; `done` is "read" or "written"."""
    return f"only what lies in {', '.join(places)} may be {done} here" if places else f"nothing may be {done} here"


def _check(descriptor: int, address: str, places: Places, done: str) -> None:
    if not is_below(_real_path(descriptor, address), _resolved(places)):
        raise NotAllowed(f"{address}: is, or lies behind, a link to elsewhere; {refusal(done, places)}")


def real_address(address: str) -> str:
    """Return an address with the links in a local path resolved."""
    return os.path.realpath(address) if is_local(address) else address


@functools.cache
def _resolved(places: Places) -> Places:
    """Resolve the links in places on this machine: every node of a cluster may have its own."""
    return tuple(map(real_address, places))


def _real_path(descriptor: int, address: str) -> str:
    """Return the path of an open file or folder, with all links resolved."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # without /proc, resolve the path instead, and check that it is still the open file
        real = os.path.realpath(address)
    if not os.path.samestat(os.lstat(real), os.fstat(descriptor)):
        raise Unavailable(f"{address}: was replaced while it was being opened")
    return real
