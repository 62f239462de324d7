"""When something was: in records by the calendar, in durations by a clock that never turns back."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


def utc_now() -> str:
    """The time in ISO 8601, UTC, to the second, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Moment:
    """When something began.

    Attributes:
        utc: as records hold it.
        clock_seconds: by `time.monotonic`.
    """

    utc: str
    clock_seconds: float

    @classmethod
    def now(cls) -> Self:
        """This very moment."""
        return cls(utc_now(), time.monotonic())

    def seconds_since(self) -> float:
        """How long ago it was."""
        return time.monotonic() - self.clock_seconds
