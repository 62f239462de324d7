"""The protocol between a run and its worker processes, wherever they are: a call, and the messages that answer it."""

import logging
import os
import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Emit = Callable[[Any], None]
"""Sends one message."""


@dataclass(frozen=True)
class Call:
    """A function call; the function emits messages through a callable that it gets as its first argument.

    The function is pickled by name, so it has to be defined in a module that the worker process can import.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CallBegan:
    """The first message of every call."""

    process_id: int


@dataclass(frozen=True)
class Logged:
    """A log line of the worker process."""

    logger: str
    level: int
    text: str

    def log(self) -> None:
        """Log the line in this process."""
        logging.getLogger(self.logger).log(self.level, "%s", self.text)


@dataclass(frozen=True)
class CallEnded:
    """The last message of every call: its return value, or the error that the caller raises."""

    value: Any = None
    error: Exception | None = None


def answer(get_call: Callable[[], Call], emit: Emit) -> None:
    """Execute a call, and emit that it began, its messages and how it ended.

    An error of `get_call`, such as for a module that cannot be imported here, ends the call in the same way.
    """
    emit(CallBegan(os.getpid()))
    try:
        call = get_call()
        ended = CallEnded(call.function(emit, *call.args, **call.kwargs))
    except Exception as error:  # noqa: BLE001  # any error is sent to the caller, which raises it
        ended = CallEnded(error=error)
    emit(ended)


def packed(message: object) -> bytes:
    """Pickle a message for another process.

    A `CallEnded` that cannot be pickled and unpickled is replaced by one whose RuntimeError has the error's text.
    """
    if not isinstance(message, CallEnded):
        return pickle.dumps(message)
    if message.error is not None:
        message.error.add_note(f"In process {os.getpid()}:\n{''.join(traceback.format_exception(message.error))}")
    try:
        data = pickle.dumps(message)
        pickle.loads(data)  # noqa: S301  # the data that was pickled just now
    except Exception as error:  # noqa: BLE001  # pickling runs code of the error's class, which may raise anything
        lost = message.error or error
        return pickle.dumps(CallEnded(error=RuntimeError(f"{type(lost).__name__}: {lost}")))
    return data


class _Handler(logging.Handler):
    def __init__(self, emit: Emit) -> None:
        super().__init__()
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        self._emit(Logged(record.name, record.levelno, self.format(record)))


def log_to(emit: Emit, level: int) -> None:
    """Send this process's log to `emit`: this project's lines from `level` on, other libraries' from WARNING on."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(emit)], format="%(message)s", force=True)
    for name in ("flows", "nst_core"):
        logging.getLogger(name).setLevel(level)
