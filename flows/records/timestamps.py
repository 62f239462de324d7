"""Wall-clock times for records, and monotonic times for durations."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


def utc_now() -> str:
    """Return the current time in ISO 8601, UTC, to the second, in the format of the records."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Moment:
    """A point in time, usually the beginning of an attempt.

    Attributes:
        utc: the wall-clock time in the format of the records.
        clock_seconds: the value of `time.monotonic`.
    """

    utc: str
    clock_seconds: float

    @classmethod
    def now(cls) -> Self:
        """Return the current moment."""
        return cls(utc_now(), time.monotonic())

    def seconds_since(self) -> float:
        """Return the seconds that have passed since this moment."""
        return time.monotonic() - self.clock_seconds
