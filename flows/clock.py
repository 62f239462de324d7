"""A clock for time limits, which stands still while this process is stopped.

A process is stopped by Ctrl-Z, by SIGSTOP or by `docker pause`, often together with the processes that it waits for,
and the clocks of the system go on meanwhile. By those, every time limit would be over when the process goes on.
"""

import os
import threading
import time
from collections.abc import Callable

READ_EVERY_SECONDS = 0.5
LONGEST_SECONDS = 2.0
"""What counts at most between two readings. It is longer than the time between two, as threads of a busy machine run
late; what is lost then only lengthens a limit."""


class AwakeClock:
    """Counts the seconds in which this process runs, as far as the clock is read often enough, see `LONGEST_SECONDS`.

    Args:
        now: returns the seconds of the system's clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._read_at, self._seconds = now(), 0.0
        self._reader: threading.Thread | None = None

    def seconds(self) -> float:
        """Return the seconds that have counted so far."""
        with self._lock:
            now = self._now()
            self._seconds += min(now - self._read_at, LONGEST_SECONDS)
            self._read_at = now
            return self._seconds

    def keep_reading(self) -> None:
        """Have a thread read the clock from now on."""
        with self._lock:
            if self._reader is None or not self._reader.is_alive():  # a forked process has no threads of its parent
                self._reader = threading.Thread(target=self._read_forever, name="clock", daemon=True)
                self._reader.start()

    def _read_forever(self) -> None:
        while True:
            time.sleep(READ_EVERY_SECONDS)
            self.seconds()


_clock = AwakeClock()


def _renew() -> None:
    """Give a forked process a clock of its own: another thread of its parent may have held the lock of the old one."""
    global _clock  # noqa: PLW0603
    _clock = AwakeClock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def awake_seconds() -> float:
    """Return how long this process has been running since some moment, not counting the time for which it was stopped.

    The difference of two values is a duration, as with `time.monotonic`.
    """
    _clock.keep_reading()
    return _clock.seconds()
