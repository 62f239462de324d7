"""A file lock that a service holds while it starts, so that commands which submit runs can wait until it serves.

The system releases the lock with the service's process, however that ends. On a file system without locks, commands do
not wait.
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
"""The name of the lock file in the folder of the service's state."""
LONGEST_SECONDS = 240.0
"""How long to wait by default: a server that creates a new database may take three minutes."""
LOOK_SECONDS = 0.2
"""The time between two looks at the lock."""


@contextmanager
def starting(folder: str) -> Iterator[Callable[[], None]]:
    """Hold the lock of a service that is starting, until the function that this yields is called, or the block ends.

    Args:
        folder: the folder of the service's state; created if it is missing.
    """
    held = [_locked(Path(folder) / NAME)]

    def release() -> None:
        while held:
            if (descriptor := held.pop()) is not None:
                os.close(descriptor)

    try:
        yield release
    finally:
        release()


def wait_while_starting(
    folder: str, on_message: Callable[[str], object], longest_seconds: float = LONGEST_SECONDS
) -> None:
    """Wait until no service is starting in a folder any more; return at once if none is.

    Args:
        folder: the folder of the service's state.
        on_message: called once, with a sentence for the user, if there is a service to wait for.
        longest_seconds: the longest time to wait.

    Raises:
        ServiceError: if the service is not up in time.
    """
    ends, is_announced = time.monotonic() + longest_seconds, False
    while _is_locked(Path(folder) / NAME):
        if not is_announced:
            place = Path(folder).resolve()
            on_message(f"a service is starting in {place}: waiting for it, {longest_seconds:.0f} s at most")
            is_announced = True
        if time.monotonic() >= ends:
            raise ServiceError(
                f"the service that is starting in {Path(folder).resolve()} was not up within {longest_seconds:.0f} s; "
                "its terminal and its server.log say why"
            )
        time.sleep(LOOK_SECONDS)


def _locked(path: Path) -> int | None:
    """Take the lock, and return the descriptor that holds it; None if that is not possible."""
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        # Shared, as a second service may start at the same time; it then fails, as its port is taken.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
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
