"""What is said between a run and those who do its calls, wherever they are: a call, and the messages that answer it."""

import logging
import os
import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Emit = Callable[[Any], None]


@dataclass(frozen=True)
class Call:
    """A function that has something to say before it is done, to a callable in its first place.

    It travels by its name: it has to be a function of a module that can be imported where it is called.
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
    """A line of the log of whoever does the call."""

    logger: str
    level: int
    text: str

    def log(self) -> None:
        """Say it here."""
        logging.getLogger(self.logger).log(self.level, "%s", self.text)


@dataclass(frozen=True)
class CallEnded:
    """The last message of every call: its value, or the error that the caller raises."""

    value: Any = None
    error: Exception | None = None


def answer(get_call: Callable[[], Call], emit: Emit) -> None:
    """Do a call; that it began, what it says and how it ended goes to `emit`.

    What `get_call` raises, such as for a module that cannot be imported here, is the call's end too.
    """
    emit(CallBegan(os.getpid()))
    try:
        call = get_call()
        ended = CallEnded(call.function(emit, *call.args, **call.kwargs))
    except Exception as error:  # noqa: BLE001  # it is the caller's
        ended = CallEnded(error=error)
    emit(ended)


def packed(message: object) -> bytes:
    """A message for another process; of an end that would not survive the way, its words do."""
    if not isinstance(message, CallEnded):
        return pickle.dumps(message)
    if message.error is not None:
        message.error.add_note(f"In process {os.getpid()}:\n{''.join(traceback.format_exception(message.error))}")
    try:
        data = pickle.dumps(message)
        pickle.loads(data)  # noqa: S301  # our own
    except Exception as error:  # noqa: BLE001  # whatever its class does
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
    """Have this process's log go to `emit`: our own lines from a level on, all others where something is wrong."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(emit)], format="%(message)s", force=True)
    for name in ("flows", "nst_core"):
        logging.getLogger(name).setLevel(level)
