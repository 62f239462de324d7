"""Retries of one request: exponential backoff with jitter, a number of attempts, and a deadline.

Retries end after OBJECT_SECONDS if the server responds with errors: one bad object must not hold up a run. A server
that responded before and now does not respond at all is being restarted or cut off: everything waits for it, so retries
go on for OUTAGE_SECONDS. A server that never responded is most likely a wrong address, and is soon given up. Time in
which this process is stopped does not count: a request that it interrupts is repeated like any other.

This module knows nothing of any storage.
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

from flows.clock import awake_seconds
from flows.errors import LimitsError, StorageError, Unreachable
from flows.wording import quoted

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 8
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
OBJECT_SECONDS = 60.0
"""The deadline of one object; the environment variable NST_OBJECT_SECONDS changes it."""
OUTAGE_SECONDS = 180.0
"""The time to wait for a server that stopped responding; the environment variable NST_OUTAGE_SECONDS changes it."""
FIRST_CONTACT_SECONDS = 20.0
"""The time to wait for a server that never responded."""
HURRIED_SECONDS = 5.0
"""The deadline of all retries, and of each attempt, once the run is interrupted: the user, or a service manager that is
about to kill the process, does not wait longer."""

_interrupted = threading.Event()
_deadlines: list[float] = []
"""The deadline of each active `hurried` block; global, as an interruption concerns all threads of the process."""


def object_seconds() -> float:
    """Return the deadline of one object, in seconds."""
    return _seconds_of("NST_OBJECT_SECONDS", OBJECT_SECONDS)


def outage_seconds() -> float:
    """Return the time to wait for a server that responded before, in seconds."""
    return _seconds_of("NST_OUTAGE_SECONDS", OUTAGE_SECONDS)


def _seconds_of(variable: str, default: float) -> float:
    """Return the number of seconds in an environment variable, or the default if it is not set.

    Raises:
        LimitsError: its value is not a number of seconds.
    """
    value = os.environ.get(variable)
    if value is None:
        return default
    with suppress(ValueError):
        if (seconds := float(value)) >= 0:
            return seconds
    raise LimitsError(f"{variable}: expected a number of seconds, such as {default:g}, found {quoted(value)}")


@contextmanager
def hurried(because_of: BaseException | None) -> Iterator[None]:
    """Limit all retries to HURRIED_SECONDS, in all threads, for as long as the block lasts.

    Args:
        because_of: the error that ends the work; only an interruption, which is not an `Exception`, sets the limit.
    """
    if because_of is None or isinstance(because_of, Exception):
        yield
        return
    ends = awake_seconds() + HURRIED_SECONDS
    _deadlines.append(ends)
    _interrupted.set()  # wakes the threads that sleep between two attempts
    try:
        yield
    finally:
        _deadlines.remove(ends)
        if not _deadlines:
            _interrupted.clear()


def persistently(
    attempt: Callable[[float], Result], has_answered: Callable[[], bool], seconds: float | None = None
) -> Result:
    """Call a function until it returns without a `retryable` error, or attempts or time run out; return its result.

    Args:
        attempt: the function; its argument is the number of seconds that this attempt may take.
        has_answered: returns whether the server has ever responded.
        seconds: the deadline; the one of a single object by default.

    Raises:
        StorageError: the error of the last attempt.
        LimitsError: an environment variable does not have a number of seconds.
    """
    began = awake_seconds()
    allowed, outage = seconds or object_seconds(), outage_seconds()
    ends = began + allowed

    def is_over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        passed = awake_seconds() - began
        if awake_seconds() >= _earliest_deadline():
            return True
        if isinstance(error, Unreachable):
            return passed >= (outage if has_answered() else min(FIRST_CONTACT_SECONDS, allowed))
        return state.attempt_number >= ATTEMPTS or passed >= allowed

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StorageError) and error.retryable),
        stop=is_over,
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        sleep=_sleep,
        before_sleep=_log_retry,
        reraise=True,
    )
    # An attempt after an outage gets some time too, even if the outage was longer than the deadline of an object.
    return retrying(lambda: attempt(_limited(max(ends - awake_seconds(), allowed / 4))))


def over_after(seconds: float) -> Callable[[RetryCallState], bool]:
    """Return when to stop retries that begin now, as tenacity asks: after `seconds`, or soon after an interruption."""
    ends = awake_seconds() + seconds
    return lambda _state: awake_seconds() >= min(ends, _earliest_deadline())


def _earliest_deadline() -> float:
    return min((*_deadlines,), default=math.inf)


def _limited(seconds: float) -> float:
    return min(seconds, HURRIED_SECONDS) if _interrupted.is_set() else seconds


def _sleep(seconds: float) -> None:
    if _interrupted.is_set():
        time.sleep(max(0.0, min(seconds, _earliest_deadline() - awake_seconds())))
    else:
        _interrupted.wait(seconds)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    level = logging.WARNING if state.attempt_number == 3 else logging.DEBUG  # the first failures need no warning
    logger.log(level, "%s; trying again (%d tries so far)", error, state.attempt_number)
