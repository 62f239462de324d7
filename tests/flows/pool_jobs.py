"""What the worker processes of the pool's and the dispatch's tests do.

A module of its own, so that a spawned process can import it.
"""

import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.records import PlannedPair
    from flows.worker import Job


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


def say(report: Callable[[Any], None], *messages: Any, then: str = "return") -> str:
    for message in messages:
        report(message)
    if then == "die":
        kill_itself()
    if then == "exit":
        exit_at_once(0)
    if then == "raise":
        raise TwoPartError("cat.png", "too small")
    if then == "wait":
        time.sleep(60)
    return then


def stylize_in_little_memory(
    pairs: "tuple[PlannedPair, ...]", job: "Job", spare_bytes: int
) -> tuple[list[tuple[int, str]], list[str]]:
    """Which numbers of pairs at once failed with what, and what came of each pair."""
    from flows.worker.capacity import Capacity
    from flows.worker.engine import backbone_of
    from flows.worker.inputs import load_pair, read_style
    from flows.worker.stylizing import stylize_chunk

    class Listening(Capacity):
        def learn(self, size: tuple[int, int], pairs: int, error: Exception) -> None:
            failures.append((pairs, type(error).__name__))
            super().learn(size, pairs, error)

    failures: list[tuple[int, str]] = []
    chunk = [load_pair(pair) for pair in pairs]
    style = read_style(pairs[0].spec.style, pairs[0].style_identity)
    capacity = Listening(pairs[0].spec.options, backbone_of(job, "cpu"))
    list(stylize_chunk(chunk[:1], style, job, "cpu", capacity))  # all that is loaded once is there now
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + spare_bytes, resource.RLIM_INFINITY))
    results = stylize_chunk(chunk, style, job, "cpu", capacity)
    return failures, [type(result).__name__ for _, result in results]
