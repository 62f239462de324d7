"""Whether a service is starting in a folder, so that whoever hands something in waits until all is served.

It holds a lock until then, which is gone with its process, however that ends. Where a file system has no locks nobody
waits.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.environment import PRIVATE
from flows.errors import ServiceError

NAME = "starting.lock"
LONGEST_SECONDS = 240.0
"""A server that makes a new database may take three minutes."""
LOOK_SECONDS = 0.2


@contextmanager
def starting(folder: str) -> Iterator[Callable[[], None]]:
    """Let others know that a service is starting, until what this yields is called, or the block ends.

    Args:
        folder: of the service's state; made if it is not there.
    """
    held = [_locked(Path(folder) / NAME)]

    def is_up() -> None:
        while held:
            if (descriptor := held.pop()) is not None:
                os.close(descriptor)

    try:
        yield is_up
    finally:
        is_up()


def wait_while_starting(folder: str, told: Callable[[str], object], longest_seconds: float = LONGEST_SECONDS) -> None:
    """Wait for a service that is starting in a folder; for none that is not.

    Args:
        folder: of the service's state.
        told: hears once, in a sentence, that there is something to wait for.
        longest_seconds: to wait.

    Raises:
        ServiceError: if it does not come up in time.
    """
    ends, was_told = time.monotonic() + longest_seconds, False
    while _is_locked(Path(folder) / NAME):
        if not was_told:
            told(f"a service is starting in {Path(folder).resolve()}: waiting for it, {longest_seconds:.0f} s at most")
            was_told = True
        if time.monotonic() >= ends:
            raise ServiceError(
                f"the service that is starting in {Path(folder).resolve()} was not up within {longest_seconds:.0f} s; "
                "its terminal and its server.log say why"
            )
        time.sleep(LOOK_SECONDS)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock; None where that cannot be had."""
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # beside a second one, which is refused by its port
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
