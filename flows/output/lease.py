"""A lease on an output, so that two runs do not do the same work twice. An aid, never a guard.

What keeps results right is the create-only record of each pair. The lease only spares work: clocks may jump, a holder
may sleep through its term and wake up, and then two runs work side by side, each record is still made once.

OUT/_nst/lease.json names the holder, who renews it every few seconds. It is free when released, when its holder's
process is gone from this machine, or when it has not been renewed for its term.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, ValidationError

from flows import storage
from flows.errors import NotFound, OutputBusy, StorageError

logger = logging.getLogger(__name__)

TERM_SECONDS = 60.0
"""A holder that has not renewed for so long is taken for dead."""
RENEWALS_PER_TERM = 4
LOOK_SECONDS = 1.0
"""Between two looks of a run that waits."""
PROCESS = uuid.uuid4().hex
"""Tells this process from an earlier one of the same number on a machine of the same name, as containers have."""


class Lease(BaseModel):
    """Who holds an output. Every renewal has a higher beat."""

    model_config = ConfigDict(frozen=True)

    holder: str
    host: str
    pid: int
    process: str
    beat: int = 0
    renewed_at: float
    term_seconds: float
    released: bool = False


@contextmanager
def held(output: str, wait_seconds: float = 0.0, term_seconds: float = TERM_SECONDS) -> Iterator[None]:
    """Hold the lease on an output for as long as the block lasts, and renew it.

    Raises:
        OutputBusy: if another run holds it for longer than `wait_seconds`.
    """
    address = address_of(output)
    lease = _acquired(address, wait_seconds, term_seconds)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(address, lease, ended), name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        _release(address, lease)


def wait_until_free(output: str, wait_seconds: float) -> None:
    """Wait for another run to end, without taking the lease.

    Raises:
        OutputBusy: if another run holds it for longer than that.
    """
    watch = _Watch(address_of(output), wait_seconds)
    while (seen := _seen(watch.address)) is not None and not watch.is_free(seen[0]):
        watch.wait(seen[0])


def address_of(output: str) -> str:
    """Where the lease on an output is."""
    return storage.join(output, "_nst", "lease.json")


def _acquired(address: str, wait_seconds: float, term_seconds: float) -> Lease:
    watch = _Watch(address, wait_seconds)
    while True:
        seen, lease = _seen(address), _new_lease(term_seconds)
        if seen is None:
            if storage.create(address, _json(lease)):
                return lease
        elif watch.is_free(seen[0]):
            if storage.swap(address, seen[1], _json(lease)):
                return lease
        else:
            watch.wait(seen[0])


class _Watch:
    """Watches a lease by this machine's own clock, which the holder's need not agree with."""

    def __init__(self, address: str, wait_seconds: float) -> None:
        self.address = address
        self._gives_up = time.monotonic() + wait_seconds
        self._seen: tuple[str, int] | None = None
        self._since = time.monotonic()
        self._has_told = False

    def is_free(self, lease: Lease | None) -> bool:
        if lease is None or lease.released or _is_gone(lease):
            return True
        if self._seen != (lease.holder, lease.beat):
            self._seen, self._since = (lease.holder, lease.beat), time.monotonic()
        unchanged = time.monotonic() - self._since
        return max(unchanged, time.time() - lease.renewed_at) > lease.term_seconds

    def wait(self, lease: Lease | None) -> None:
        left = self._gives_up - time.monotonic()
        who = f"process {lease.pid} on {lease.host}" if lease else "somebody"
        if left <= 0:
            raise OutputBusy(
                f"{self.address.removesuffix('/_nst/lease.json')}: another run is writing here ({who}). Wait for it to "
                "end, or let this command wait: --wait-for-output-seconds 600"
            )
        if not self._has_told:
            logger.warning("another run is writing to this output (%s); waiting for it to end", who)
            self._has_told = True
        time.sleep(min(LOOK_SECONDS, left))


def _is_gone(lease: Lease) -> bool:
    """Whether the holder's process ended without a word, where that can be told: on this machine."""
    if lease.host != socket.gethostname():
        return False
    if lease.pid == os.getpid():
        return lease.process != PROCESS
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        return False
    return False


def _seen(address: str) -> tuple[Lease | None, str] | None:
    """The lease with its version; no lease where the file is damaged, nothing where there is none."""
    try:
        data, version = storage.read_with_version(address)
    except NotFound:
        return None
    try:
        return Lease.model_validate_json(data), version
    except ValidationError:
        return None, version


def _keep(address: str, lease: Lease, ended: threading.Event) -> None:
    """Renew until the run has ended. Trouble is told, and is no reason to stop the run."""
    while not ended.wait(lease.term_seconds / RENEWALS_PER_TERM):
        try:
            if not _changed(address, lease, released=False):
                logger.warning("another run has taken over this output; both go on, each pair is recorded once")
                return
        except StorageError as error:
            logger.warning("the lease could not be renewed: %s", error)


def _release(address: str, lease: Lease) -> None:
    try:
        _changed(address, lease, released=True)
    except StorageError as error:
        logger.warning("the lease could not be released: %s", error)


def _changed(address: str, lease: Lease, *, released: bool) -> bool:
    """Renew or release; False if it is somebody else's by now."""
    seen = _seen(address)
    if seen is None or seen[0] is None or seen[0].holder != lease.holder:
        return False
    now = seen[0].model_copy(update={"beat": seen[0].beat + 1, "renewed_at": time.time(), "released": released})
    return storage.swap(address, seen[1], _json(now))


def _new_lease(term_seconds: float) -> Lease:
    return Lease(
        holder=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=PROCESS,
        renewed_at=time.time(),
        term_seconds=term_seconds,
    )


def _json(lease: Lease) -> bytes:
    return lease.model_dump_json(indent=1).encode()
