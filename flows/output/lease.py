"""A lease on an output, so that two runs do not do the same work twice. It is an optimisation, not a safety measure.

Correctness comes from the create-only record of each pair. The lease only saves work: a holder may be suspended for
longer than its term and wake up, and then two runs work at the same time until the first one notices that it has lost
the lease, and stops.

OUT/_nst/lease.json names the holder, which renews it every few seconds. The lease is free when it was released, when
the holder's process on this machine has ended, or when it was not renewed for a whole term while another run watched.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows import storage
from flows.errors import CredentialsExpired, OutputBusy, StorageError, Unavailable
from flows.output.lease_file import RUN, Lease, Writer, address_of, as_json, new_lease, read_lease
from flows.output.lease_watch import TERM_SECONDS, Watch

__all__ = ["Held", "Writer", "address_of", "held"]

logger = logging.getLogger(__name__)

RENEWALS_PER_TERM = 4
"""How often a holder renews its lease within a term."""
TRIES = 5
"""Attempts at a compare-and-swap of the lease, when another process writes the file between each read and our write."""


@contextmanager
def held(
    output: str,
    wait_seconds: float = 0.0,
    term_seconds: float = TERM_SECONDS,
    *,
    take_over: bool = False,
    by: Writer = RUN,
) -> Iterator["Held"]:
    """Hold the lease on an output for the duration of the block, and renew it in the background.

    Args:
        output: address of the output.
        wait_seconds: how long to wait while another run holds the lease.
        term_seconds: the time after which a holder that does not renew is taken for dead.
        take_over: whether to take the lease at once, even if another run holds it.
        by: the kind of program that holds it; where the folder is not an output, the lease file has another name.

    Raises:
        OutputBusy: if another run holds the lease for longer than `wait_seconds`.
    """
    watch = Watch(output, wait_seconds, by)
    hold = Held(output, _acquired(watch, term_seconds, take_over=take_over), by)
    ended = threading.Event()
    renewer = threading.Thread(target=_renew_until, args=(ended, hold), name="lease", daemon=True)
    renewer.start()
    try:
        yield hold
    except BaseException as error:
        with storage.hurried(error):
            _end(hold, ended, renewer, wait_seconds=None if isinstance(error, Exception) else storage.HURRIED_SECONDS)
        raise
    else:
        _end(hold, ended, renewer, wait_seconds=None)


class Held:
    """A lease that this process holds, or held until another run took it over."""

    def __init__(self, output: str, lease: Lease, by: Writer = RUN) -> None:
        self.output, self.lease, self._by = output, lease, by
        self._renewed_at = _now()
        self.address = address_of(output, by)
        self._taken_by: Lease | None = None
        self._on_lost: Callable[[], None] = lambda: None
        self._writing = threading.Lock()

    @property
    def is_lost(self) -> bool:
        """Tell whether another run was seen to hold the lease; does not read the file.

        False is no proof that the lease is ours: after the machine slept, or while the storage is away, the last look
        at the file may be long ago. Before it writes a file of the whole output, a run has to `check`.
        """
        return self._taken_by is not None

    def when_lost(self, stop: Callable[[], None]) -> None:
        """Register a callback, which any thread may call, for when another run is seen to hold the lease."""
        self._on_lost = stop
        if self.is_lost:
            stop()

    def check(self) -> None:
        """Renew the lease, to make sure that it is still ours.

        Raises:
            OutputBusy: if another run holds it, or may hold it because the last renewal is longer ago than a term and
                this one fails: the files that the other run writes for the whole output must not be overwritten by
                this one.
            CredentialsExpired: if that is why the renewal fails.
        """
        try:
            self.change(released=False)
        except StorageError as error:
            self._check_age(error)
        if self._taken_by is not None:
            raise OutputBusy(
                f"{self.output}: was taken over by another {self._by.name} ({self._taken_by.whose}), so this one has "
                "stopped; what it made is kept"
            )

    def _check_age(self, error: StorageError) -> None:
        """Raise OutputBusy if the lease, which cannot be renewed, is so old that another run may have taken it."""
        age = _now() - self._renewed_at
        if age > self.lease.term_seconds:
            if isinstance(error, CredentialsExpired):
                raise error
            raise OutputBusy(
                f"{self.output}: expected this {self._by.name} to hold it still, found its hold not renewed for "
                f"{age:.0f} s, and it cannot be renewed now ({error}). Another {self._by.name} may be writing here, so "
                "this one has stopped; what it made is kept. Run the same command again"
            ) from error
        logger.warning("the lease could not be renewed: %s", error)

    def change(self, *, released: bool) -> None:
        """Renew or release the lease, if it is still ours.

        Args:
            released: whether to release it instead of renewing it.

        Raises:
            StorageError: if the file cannot be read or written.
        """
        with self._writing:
            for _ in range(TRIES):
                if self.is_lost or self._try_to_write(released=released):
                    return
        raise Unavailable(f"{self.address}: was changed by somebody else {TRIES} times while it was to be renewed")

    def _try_to_write(self, *, released: bool) -> bool:
        """Renew or release the lease by one compare-and-swap.

        Returns:
            False if another process wrote the file since it was read, so that it has to be tried again; True if there
            is nothing left to do, because the lease is written, lost or already gone.
        """
        began = _now()
        found = read_lease(self.address)
        if found is not None and found.lease is not None and found.lease.holder != self.lease.holder:
            self._lose(found.lease)
            return True
        beat = self.lease.beat + 1
        lease = self.lease.model_copy(update={"beat": beat, "renewed_at": time.time(), "released": released})
        if found is None and released:
            return True
        if found is None:  # the operator removed the file
            is_written = storage.create(self.address, as_json(lease))
        else:
            is_written = storage.swap(self.address, found.version, as_json(lease))
        if is_written:
            self.lease, self._renewed_at = lease, began
        return is_written

    def _lose(self, to: Lease) -> None:
        self._taken_by = to
        by = self._by
        logger.warning("another %s (%s) has taken over this %s; this one stops", by.name, to.whose, by.place)
        self._on_lost()


def _now() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, as `time.monotonic` does not."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # the former on Linux only


def _acquired(watch: Watch, term_seconds: float, *, take_over: bool) -> Lease:
    """Wait until the lease is free, and take it by a compare-and-swap."""
    while True:
        found, lease = read_lease(watch.address), new_lease(term_seconds)
        if found is None:
            if storage.create(watch.address, as_json(lease)):
                return lease
            continue
        holder = watch.live_holder(found.lease)
        if holder is not None and not take_over:
            watch.wait(holder)
        elif storage.swap(watch.address, found.version, as_json(lease)):
            if holder is not None:
                logger.warning("this output was held by %s; taken over, as requested", holder.whose)
            return lease


def _renew_until(ended: threading.Event, hold: Held) -> None:
    """Renew a lease until the run has ended. A renewal that fails is logged, and does not stop the run."""
    while not hold.is_lost and not ended.wait(hold.lease.term_seconds / RENEWALS_PER_TERM):
        try:
            hold.change(released=False)
        except StorageError as error:
            logger.warning("the lease could not be renewed: %s", error)


def _end(hold: Held, ended: threading.Event, renewer: threading.Thread, wait_seconds: float | None) -> None:
    """Stop renewing a lease, and release it."""
    ended.set()
    renewer.join(wait_seconds)
    if renewer.is_alive():  # its request is not answered; as a daemon thread it ends with the process
        logger.warning("the lease could not be released: its last renewal is not answered")
        return
    _release(hold)


def _release(hold: Held) -> None:
    try:
        hold.change(released=True)
    except StorageError as error:
        logger.warning("the lease could not be released: %s", error)
