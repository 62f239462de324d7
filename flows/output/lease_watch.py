"""Whether the holder of a lease is at work: judged by what it does, by this machine's own clock.

A lease whose process is gone from this machine is free at once. Of another, the date that its holder wrote is believed
only where it is of the last minute; any other date, of years ago or years ahead, may be that of a clock that is wrong.
Then the lease is watched: a holder renews it several times in its term, and one that does not is dead.
"""

import logging
import time
from dataclasses import dataclass

from flows.errors import OutputBusy
from flows.output.lease_file import Lease, Writer, address_of

logger = logging.getLogger(__name__)

TERM_SECONDS = 60.0
"""A holder that has not renewed for so long, while it was watched, is taken for dead."""
LOOK_SECONDS = 1.0
"""Between two looks of a run that waits."""


@dataclass(frozen=True)
class _Sighting:
    """What was last seen of a lease: its beat, since when, and whether it was ever seen to change."""

    beat: tuple[str, int]
    since: float
    is_alive: bool = False


_sightings: dict[str, _Sighting] = {}
"""Address -> what this process saw: a visit to an inbox goes on where the last one ended."""


class Watch:
    """Watches a lease until it is free, or for as long as one is to wait."""

    def __init__(self, output: str, wait_seconds: float, by: Writer) -> None:
        self.address = address_of(output, by)
        self._output, self._by = output, by
        self._gives_up = time.monotonic() + wait_seconds
        self._has_told = False

    def holder_at_work(self, lease: Lease | None) -> Lease | None:
        """A lease that was just read, if somebody may be at work under it; None where it is free, or damaged."""
        if lease is None or lease.released or lease.is_gone():
            return None
        self._see(lease)
        unchanged_seconds = time.monotonic() - _sightings[self.address].since
        return lease if unchanged_seconds <= min(lease.term_seconds, TERM_SECONDS) else None

    def wait(self, lease: Lease) -> None:
        """Wait a little before the next look at a lease under which somebody may be at work.

        Raises:
            OutputBusy: if that took long enough, and the lease is not in doubt.
        """
        left = self._gives_up - time.monotonic()
        is_in_doubt = self._is_in_doubt(lease)
        if left <= 0 and not is_in_doubt:
            raise OutputBusy(
                f"{self._output}: another {self._by.name} is writing here ({lease.whose}). {self._by.when_busy}"
            )
        if not self._has_told:
            self._tell(lease, is_in_doubt=is_in_doubt)
        time.sleep(LOOK_SECONDS if is_in_doubt else min(LOOK_SECONDS, left))

    def _tell(self, lease: Lease, *, is_in_doubt: bool) -> None:
        self._has_told = True
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
        """Whether neither its date nor a change that was seen tells that its holder is at work."""
        is_recent = abs(time.time() - lease.renewed_at) <= lease.term_seconds
        return not is_recent and not _sightings[self.address].is_alive

    def _see(self, lease: Lease) -> None:
        """Remember a lease, if it is another than at the last look."""
        beat, before = (lease.holder, lease.beat), _sightings.get(self.address)
        if before is None or before.beat != beat:
            _sightings[self.address] = _Sighting(beat, time.monotonic(), is_alive=before is not None)
