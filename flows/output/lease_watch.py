"""Decides whether the holder of a lease is alive, by watching its renewals with this machine's own clock.

A lease whose process has ended on this machine is free at once. On another machine, the date that the holder wrote is
trusted only if it is at most a term away from now: any other date, years ago or years ahead, may come from a wrong
clock. In that case the lease is watched: a holder renews it several times per term, and one that does not is dead.
"""

import logging
import time
from dataclasses import dataclass

from flows.errors import OutputBusy
from flows.output.lease_file import Lease, Writer, address_of

logger = logging.getLogger(__name__)

TERM_SECONDS = 60.0
"""A holder that has not renewed for this long while it was watched is taken for dead."""
POLL_SECONDS = 1.0
"""Interval at which a waiting run reads the lease."""


@dataclass(frozen=True)
class _Sighting:
    """The last state of a lease that this process read.

    Attributes:
        beat: the holder and its number of renewals.
        since: monotonic time at which this beat was first read.
        is_alive: whether the lease was ever seen to change.
    """

    beat: tuple[str, int]
    since: float
    is_alive: bool = False


_sightings: dict[str, _Sighting] = {}
"""Address of a lease -> its last state; kept per process, so that a visit to an inbox continues the watch of the
previous visit."""


class Watch:
    """Watches a lease until it is free, or until the waiting time is over."""

    def __init__(self, output: str, wait_seconds: float, by: Writer) -> None:
        self.address = address_of(output, by)
        self._output, self._by = output, by
        self._deadline = time.monotonic() + wait_seconds
        self._has_logged = False

    def live_holder(self, lease: Lease | None) -> Lease | None:
        """Return a lease that was just read if its holder may be alive; None if it is free or damaged."""
        if lease is None or lease.released or lease.is_gone():
            return None
        self._remember(lease)
        unchanged_seconds = time.monotonic() - _sightings[self.address].since
        return lease if unchanged_seconds <= min(lease.term_seconds, TERM_SECONDS) else None

    def wait(self, lease: Lease) -> None:
        """Sleep before the next read of a lease whose holder may be alive.

        Raises:
            OutputBusy: if the waiting time is over, and there is no doubt that the holder is alive.
        """
        left = self._deadline - time.monotonic()
        is_in_doubt = self._is_in_doubt(lease)
        if left <= 0 and not is_in_doubt:
            raise OutputBusy(
                f"{self._output}: another {self._by.name} is writing here ({lease.whose}). {self._by.when_busy}"
            )
        if not self._has_logged:
            self._log(lease, is_in_doubt=is_in_doubt)
        time.sleep(POLL_SECONDS if is_in_doubt else min(POLL_SECONDS, left))

    def _log(self, lease: Lease, *, is_in_doubt: bool) -> None:
        self._has_logged = True
        if is_in_doubt:
            logger.warning(
                "this %s is held by %s, and its date does not tell whether that is still at work: watching for at most "
                "%.0f s whether it renews its hold%s",
                self._by.place,
                lease.whose,
                min(lease.term_seconds, TERM_SECONDS),
                f" ({self._by.at_once})" if self._by.at_once else "",
            )
        else:
            by = self._by
            logger.warning(
                "another %s is writing to this %s (%s); waiting for it to end", by.name, by.place, lease.whose
            )

    def _is_in_doubt(self, lease: Lease) -> bool:
        """Tell whether neither the lease's date nor a renewal that was seen proves that its holder is alive."""
        is_recent = abs(time.time() - lease.renewed_at) <= lease.term_seconds
        return not is_recent and not _sightings[self.address].is_alive

    def _remember(self, lease: Lease) -> None:
        """Remember a lease, if it has changed since it was last read."""
        beat, before = (lease.holder, lease.beat), _sightings.get(self.address)
        if before is None or before.beat != beat:
            _sightings[self.address] = _Sighting(beat, time.monotonic(), is_alive=before is not None)
