"""Prefect's log of errors that have a name: one line each, as Python's traceback helps nobody who can mend them.

`NST_DEBUG=1`, or `--debug` of the command, shows it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.watching.terminal import console_handlers
from flows.wording import no_thread
from nst_core.errors import NstError

DEBUG = "NST_DEBUG"
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
LAST_WORDS = (
    "Finished in state",
    "Crash detected! Execution was aborted by an interrupt signal",
    "Crash detected! Execution was aborted by a termination signal",
)
"""What Prefect says at the end of every run, and of one that was told to stop."""


def log_errors_plainly() -> None:
    """Have Prefect log our errors by their message alone; more than once is as once."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    said = str(error) if isinstance(error, NstError) else error and no_thread(error)
    if said and not os.environ.get(DEBUG):
        record.msg, record.args, record.exc_info = said, (), None
        record.is_named = True
    return True


@contextmanager
def errors_left_to_the_command() -> Iterator[None]:
    """Keep those errors out of the terminal for as long as the block lasts: the command says them once it is over."""
    handlers = console_handlers()
    for handler in handlers:
        handler.addFilter(_is_news)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    is_last_word = record.name in RUN_LOGGERS and str(record.msg).startswith(LAST_WORDS)
    return not (is_last_word or getattr(record, "is_named", False))
