"""Log filters that reduce our own errors in Prefect's log to one line each, without a traceback.

A traceback does not help the user to correct the cause. `NST_DEBUG=1`, or the command's `--debug`, shows it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.watching.terminal import console_handlers
from flows.wording import no_thread, printable
from nst_core.errors import NstError

DEBUG = "NST_DEBUG"
"""The environment variable that, if it is not empty, keeps tracebacks in the log."""
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
"""The loggers to which Prefect logs the errors of runs."""
FINAL_MESSAGES = (
    "Finished in state",
    "Crash detected! Execution was aborted by an interrupt signal",
    "Crash detected! Execution was aborted by a termination signal",
)
"""How the messages begin that Prefect logs at the end of every run, and of one that was interrupted or terminated."""


def log_errors_plainly() -> None:
    """Reduce our errors in Prefect's log to their message. Calling it again has no further effect."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    message = printable(str(error)) if isinstance(error, NstError) else error and no_thread(error)
    if message and not os.environ.get(DEBUG):
        record.msg, record.args, record.exc_info = message, (), None
        record.is_own_error = True
    return True


@contextmanager
def errors_left_to_the_command() -> Iterator[None]:
    """Keep our errors out of the terminal's log while the block runs: the command prints them after it."""
    handlers = console_handlers()
    for handler in handlers:
        handler.addFilter(_is_not_left_to_the_command)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_not_left_to_the_command)


def _is_not_left_to_the_command(record: logging.LogRecord) -> bool:
    is_final = record.name in RUN_LOGGERS and str(record.msg).startswith(FINAL_MESSAGES)
    return not (is_final or getattr(record, "is_own_error", False))
