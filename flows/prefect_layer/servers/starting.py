"""What the starts of a run's and of a service's server have in common: a log, and a reason if they fail."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.errors import ServiceError
from flows.wording import redacted

SERVER_LOG = "server.log"
"""The name of the file, in Prefect's home folder, for the server's output."""
NO_REASON = "it gives no reason"
_ERROR = re.compile(r"[\w.]*(Error|Exception): ")
"""Matches the last line of a traceback."""


@contextmanager
def named_if_not_started() -> Iterator[None]:
    """Translate the error of a system that cannot start a process into ours.

    Raises:
        ServiceError: if the block raises an OSError; the message has its reason.
    """
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"no process for the Prefect server could be started ({error}). This machine may be out of memory, "
            "processes or open files"
        ) from error


@contextmanager
def opened_log(path: Path) -> Iterator[int]:
    """Open a server's log for appending, and yield its descriptor; that of the null device if it cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reason_in(log: Path) -> str:
    """Return why a server has ended: the last error in its log, else the log's last line."""
    with suppress(OSError):
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        lines = [line for line in lines if line]
        errors = [line for line in lines if _ERROR.match(line)]
        return redacted((errors or lines or [NO_REASON])[-1]).rstrip(".")
    return NO_REASON
