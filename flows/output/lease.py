"""A lease on an output, so that two runs do not do the same work twice. An aid, never a guard.

What keeps results right is the create-only record of each pair. The lease only spares work: a holder may sleep through
its term and wake up, and then two runs work side by side until the first one sees that it has lost its hold, and stops.

OUT/_nst/lease.json names the holder, who renews it every few seconds. It is free when released, when its holder's
process is gone from this machine, or when it was not renewed for its term while one watched.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows import storage
from flows.errors import OutputBusy, StorageError, Unavailable
from flows.output.lease_file import RUN, Lease, Writer, address_of, as_json, found_at, new_lease
from flows.output.lease_watch import TERM_SECONDS, Watch

__all__ = ["Held", "Writer", "address_of", "held"]

logger = logging.getLogger(__name__)

RENEWALS_PER_TERM = 4
LOOKS = 5
"""At a lease that is written by somebody between each look and our own writing; the first then shows whose it is."""


@contextmanager
def held(
    output: str,
    wait_seconds: float = 0.0,
    term_seconds: float = TERM_SECONDS,
    *,
    take_over: bool = False,
    by: Writer = RUN,
) -> Iterator["Held"]:
    """Hold the lease on an output for as long as the block lasts, and renew it.

    Args:
        output: its address.
        wait_seconds: how long to wait while another run holds it.
        term_seconds: after which a holder that does not renew is taken for dead.
        take_over: take it at once, whoever holds it.
        by: what kind of program this is: a place that is no output has a lease of another name.

    Raises:
        OutputBusy: if another run holds it for longer than `wait_seconds`.
    """
    watch = Watch(output, wait_seconds, by)
    hold = Held(output, _acquired(watch, term_seconds, take_over=take_over), by)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(hold, ended), name="lease", daemon=True)
    keeper.start()
    try:
        yield hold
    except BaseException as error:
        with storage.hurried(error):
            _end(hold, ended, keeper, wait_seconds=None if isinstance(error, Exception) else storage.HURRIED_SECONDS)
        raise
    else:
        _end(hold, ended, keeper, wait_seconds=None)


class Held:
    """A lease that is held, or was until another run took it."""

    def __init__(self, output: str, lease: Lease, by: Writer = RUN) -> None:
        self.output, self.lease, self._by = output, lease, by
        self.address = address_of(output, by)
        self._taken_by: Lease | None = None
        self._when_lost: Callable[[], None] = lambda: None
        self._changing = threading.Lock()

    @property
    def is_lost(self) -> bool:
        """Whether another run was seen to hold it."""
        return self._taken_by is not None

    def when_lost(self, stop: Callable[[], None]) -> None:
        """Have this called, by any thread, once another run was seen to hold it."""
        self._when_lost = stop
        if self.is_lost:
            stop()

    def check(self) -> None:
        """Look again whether it is still ours.

        Raises:
            OutputBusy: if another run holds it: what that writes of the whole output is not to be written over.
        """
        try:
            self.change(released=False)
        except StorageError as error:
            logger.warning("the lease could not be renewed: %s", error)
        if self._taken_by is not None:
            raise OutputBusy(
                f"{self.output}: was taken over by another {self._by.name} ({self._taken_by.whose}), so this one has "
                "stopped; what it made is kept"
            )

    def change(self, *, released: bool) -> None:
        """Renew or release it, if it is still ours.

        Raises:
            StorageError: if that cannot be done.
        """
        with self._changing:
            for _ in range(LOOKS):
                if self.is_lost or self._is_changed(released=released):
                    return
        raise Unavailable(f"{self.address}: was changed by somebody else {LOOKS} times while it was to be renewed")

    def _is_changed(self, *, released: bool) -> bool:
        """Whether nothing is left to do; else it was written by somebody since it was looked at."""
        found = found_at(self.address)
        if found is not None and found.lease is not None and found.lease.holder != self.lease.holder:
            self._lose(found.lease)
            return True
        beat = self.lease.beat + 1
        lease = self.lease.model_copy(update={"beat": beat, "renewed_at": time.time(), "released": released})
        if found is None and released:
            return True
        if found is None:  # removed by hand
            is_written = storage.create(self.address, as_json(lease))
        else:
            is_written = storage.swap(self.address, found.version, as_json(lease))
        self.lease = lease if is_written else self.lease
        return is_written

    def _lose(self, to: Lease) -> None:
        self._taken_by = to
        by = self._by
        logger.warning("another %s (%s) has taken over this %s; this one stops", by.name, to.whose, by.place)
        self._when_lost()


def _acquired(watch: Watch, term_seconds: float, *, take_over: bool) -> Lease:
    while True:
        found, lease = found_at(watch.address), new_lease(term_seconds)
        if found is None:
            if storage.create(watch.address, as_json(lease)):
                return lease
            continue
        holder = watch.holder_at_work(found.lease)
        if holder is not None and not take_over:
            watch.wait(holder)
        elif storage.swap(watch.address, found.version, as_json(lease)):
            if holder is not None:
                logger.warning("this output was held by %s; taken over, as asked", holder.whose)
            return lease


def _keep(hold: Held, ended: threading.Event) -> None:
    """Renew until the run has ended. Trouble is told, and is no reason to stop the run."""
    while not hold.is_lost and not ended.wait(hold.lease.term_seconds / RENEWALS_PER_TERM):
        try:
            hold.change(released=False)
        except StorageError as error:
            logger.warning("the lease could not be renewed: %s", error)


def _end(hold: Held, ended: threading.Event, keeper: threading.Thread, wait_seconds: float | None) -> None:
    ended.set()
    keeper.join(wait_seconds)
    if keeper.is_alive():  # in the middle of a request that nobody answers; it ends with the process
        logger.warning("the lease could not be released: its last renewal is not answered")
        return
    _release(hold)


def _release(hold: Held) -> None:
    try:
        hold.change(released=True)
    except StorageError as error:
        logger.warning("the lease could not be released: %s", error)
