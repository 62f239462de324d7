"""How long one object is tried for: jittered exponential waits, a number of attempts, and a deadline. Knows no storage.

A server that answers, but not as it should, is given up after OBJECT_SECONDS: one bad object must not hold up a run.
A server that answered before and now does not answer at all is being restarted or cut off: everything waits for it,
so it is given OUTAGE_SECONDS. One that never answered at all is most likely a wrong address, and is soon given up.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from flows.errors import StorageError, Unreachable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 8
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
OBJECT_SECONDS = 60.0
"""For one object; the environment variable NST_OBJECT_SECONDS sets another number."""
OUTAGE_SECONDS = 180.0
"""For a server that stopped answering; NST_OUTAGE_SECONDS sets another number."""
FIRST_CONTACT_SECONDS = 20.0


def object_seconds() -> float:
    """The deadline of one object."""
    return float(os.environ.get("NST_OBJECT_SECONDS", OBJECT_SECONDS))


def outage_seconds() -> float:
    """The patience with a server that answered before."""
    return float(os.environ.get("NST_OUTAGE_SECONDS", OUTAGE_SECONDS))


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
    """
    began = time.monotonic()
    allowed = seconds or object_seconds()
    ends = began + allowed

    def is_over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        passed = time.monotonic() - began
        if isinstance(error, Unreachable):
            return passed >= (outage_seconds() if has_answered() else min(FIRST_CONTACT_SECONDS, allowed))
        return state.attempt_number >= ATTEMPTS or passed >= allowed

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StorageError) and error.retryable),
        stop=is_over,
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        before_sleep=_tell,
        reraise=True,
    )
    # An attempt after an outage gets its time too, even where the outage took longer than an object may.
    return retrying(lambda: attempt(max(ends - time.monotonic(), allowed / 4)))


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    level = logging.WARNING if state.attempt_number == 3 else logging.DEBUG  # a first hiccup is no news
    logger.log(level, "%s; trying again (%d tries so far)", error, state.attempt_number)
