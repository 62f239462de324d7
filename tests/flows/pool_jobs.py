"""What the worker processes of test_worker_pool do. A module of its own, so that a spawned process can import it."""

import logging
import os
import signal
import sys
import time
from pathlib import Path


class TwoPartError(Exception):
    """An error that pickle takes apart and puts together again only through `__reduce__`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type["TwoPartError"], tuple[str, str]]:
        return type(self), (self.name, self.reason)


class UnpicklableError(Exception):
    """An error that pickle takes apart but cannot put together again: it would call `__init__` with one argument."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")


def add(first: int, *, second: int) -> int:
    return first + second


def process_id() -> int:
    return os.getpid()


def raise_two_parts() -> None:
    raise TwoPartError("cat.png", "too small")


def raise_unpicklable() -> None:
    raise UnpicklableError("cat.png", "too small")


def raise_runtime_error() -> None:
    raise RuntimeError("of the function itself")


def exit_at_once(code: int) -> None:
    os._exit(code)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_itself() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "still here"


def sleep(seconds: float, started: str | None = None) -> None:
    if started:
        Path(started).write_text(str(os.getpid()))
    time.sleep(seconds)


def meet(own: str, other: str) -> bool:
    """Whether the other one came too."""
    Path(own).touch()
    end = time.monotonic() + 10
    while not Path(other).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return Path(other).exists()


def facts() -> dict[str, object]:
    return {
        "torch": "torch" in sys.modules,
        "flows": logging.getLogger("flows").getEffectiveLevel(),
        "nst_core": logging.getLogger("nst_core").getEffectiveLevel(),
        "root": logging.getLogger().getEffectiveLevel(),
    }
