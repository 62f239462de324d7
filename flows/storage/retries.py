"""How long one object is tried for: jittered exponential waits, a number of attempts, and a deadline. Knows no storage.

A server that answers, but not as it should, is given up after OBJECT_SECONDS: one bad object must not hold up a run.
A server that answered before and now does not answer at all is being restarted or cut off: everything waits for it,
so it is given OUTAGE_SECONDS. One that never answered at all is most likely a wrong address, and is soon given up.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from flows.errors import LimitsError, StorageError, Unreachable
from flows.wording import quoted

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 8
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
OBJECT_SECONDS = 60.0
"""For one object; the environment variable NST_OBJECT_SECONDS sets another number."""
OUTAGE_SECONDS = 180.0
"""For a server that stopped answering; NST_OUTAGE_SECONDS sets another number."""
FIRST_CONTACT_SECONDS = 20.0
HURRIED_SECONDS = 5.0
"""For all that is tried again once the run is interrupted, and for each attempt: whoever did it, or a service manager
that is about to kill us, does not wait longer."""

_haste = threading.Event()
_ends_of_patience: list[float] = []
"""One for each block that hurries now. An interruption is of the process, and so are these: its threads wait too."""


def object_seconds() -> float:
    """The deadline of one object."""
    return _seconds_of("NST_OBJECT_SECONDS", OBJECT_SECONDS)


def outage_seconds() -> float:
    """The patience with a server that answered before."""
    return _seconds_of("NST_OUTAGE_SECONDS", OUTAGE_SECONDS)


def _seconds_of(variable: str, otherwise: float) -> float:
    """What an environment variable says.

    Raises:
        LimitsError: if that is no number of seconds.
    """
    given = os.environ.get(variable)
    if given is None:
        return otherwise
    with suppress(ValueError):
        if (seconds := float(given)) >= 0:
            return seconds
    raise LimitsError(f"{variable}: expected a number of seconds, such as {otherwise:g}, found {quoted(given)}")


@contextmanager
def hurried(because_of: BaseException | None) -> Iterator[None]:
    """Wait for storage that is away no more than seconds, in all threads, as long as the block lasts.

    Args:
        because_of: what ends the work; only an interruption, which is no `Exception`, is a reason to hurry.
    """
    if because_of is None or isinstance(because_of, Exception):
        yield
        return
    ends = time.monotonic() + HURRIED_SECONDS
    _ends_of_patience.append(ends)
    _haste.set()  # whoever is asleep between two attempts wakes up
    try:
        yield
    finally:
        _ends_of_patience.remove(ends)
        if not _ends_of_patience:
            _haste.clear()


def persistently(
    attempt: Callable[[float], Result], has_answered: Callable[[], bool], seconds: float | None = None
) -> Result:
    """The result of an attempt, which is made again as long as its error is `retryable` and there is time.

    Args:
        attempt: takes the seconds that it may take.
        has_answered: whether the server ever answered.
        seconds: the deadline; that of one object by default.

    Raises:
        StorageError: the last attempt's.
        LimitsError: if the environment names no number of seconds.
    """
    began = time.monotonic()
    allowed, outage = seconds or object_seconds(), outage_seconds()
    ends = began + allowed

    def is_over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        passed = time.monotonic() - began
        if time.monotonic() >= _end_of_patience():
            return True
        if isinstance(error, Unreachable):
            return passed >= (outage if has_answered() else min(FIRST_CONTACT_SECONDS, allowed))
        return state.attempt_number >= ATTEMPTS or passed >= allowed

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StorageError) and error.retryable),
        stop=is_over,
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        sleep=_sleep,
        before_sleep=_tell,
        reraise=True,
    )
    # An attempt after an outage gets its time too, even where the outage took longer than an object may.
    return retrying(lambda: attempt(_in_haste(max(ends - time.monotonic(), allowed / 4))))


def _end_of_patience() -> float:
    return min((*_ends_of_patience,), default=math.inf)


def _in_haste(seconds: float) -> float:
    return min(seconds, HURRIED_SECONDS) if _haste.is_set() else seconds


def _sleep(seconds: float) -> None:
    if _haste.is_set():
        time.sleep(max(0.0, min(seconds, _end_of_patience() - time.monotonic())))
    else:
        _haste.wait(seconds)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    level = logging.WARNING if state.attempt_number == 3 else logging.DEBUG  # a first hiccup is no news
    logger.log(level, "%s; trying again (%d tries so far)", error, state.attempt_number)
