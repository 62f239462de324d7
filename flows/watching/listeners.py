"""Deliver the messages of a run to its watchers, each on a thread of its own, so that none of them can harm the run.

A watcher is called once when a run starts, and returns the callback that receives the messages of the run's workers.
Each of several runs in one process has its own watchers.
"""

import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flows.records.runs import RunStarted
from flows.wording import redacted
from flows.worker.messages import Message, OnWorkerMessage

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""At the end of a run, how long to wait for a watcher that handles none of its remaining messages."""
HURRY_SECONDS = 2.0
"""The same for a run that was interrupted."""


Watcher = Callable[[RunStarted], OnWorkerMessage]
"""Called with the start of a run; returns the callback for the messages of its workers."""

_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def watched_by(*watchers: Watcher) -> Iterator[None]:
    """Add watchers to every run that is started in the block, in the current context."""
    token = _watchers.set((*_watchers.get(), *watchers))
    try:
        yield
    finally:
        _watchers.reset(token)


def watchers_here() -> tuple[Watcher, ...]:
    """Return the watchers of the current context."""
    return _watchers.get()


@contextmanager
def notify(
    run: RunStarted, watchers: Iterable[Watcher], patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[OnWorkerMessage]:
    """Start watchers for a run and yield the callback that sends messages to all of them.

    The callback returns at once and never raises. The end of the block waits until the watchers have handled their
    messages.

    Args:
        run: the run that starts.
        watchers: the watchers to start.
        patience_seconds: at the end, how long to wait for a watcher that handles none of its messages.
    """
    threads = [_WatcherThread(watcher, run) for watcher in watchers]

    def on_message(worker: str, message: Message) -> None:
        for thread in threads:
            thread.send(worker, message)

    try:
        yield on_message
    except BaseException:
        patience_seconds = min(patience_seconds, HURRY_SECONDS)  # an interrupted run has to end within seconds
        raise
    finally:
        for thread in threads:
            thread.close()
        for thread in threads:
            thread.wait(patience_seconds)


class _WatcherThread:
    """Delivers messages to one watcher in order, until its first error."""

    def __init__(self, watcher: Watcher, run: RunStarted) -> None:
        self._name = getattr(watcher, "__qualname__", type(watcher).__name__).partition(".")[0]
        self._messages: queue.SimpleQueue[tuple[str, Message] | None] = queue.SimpleQueue()
        self._is_stopped = False
        context = contextvars.copy_context()  # it determines the run that log lines and artifacts belong to
        # A daemon thread, because a watcher that hangs must not keep the process from exiting.
        self._thread = threading.Thread(
            target=context.run, args=(self._work, watcher, run), name=self._name, daemon=True
        )
        self._thread.start()

    def send(self, worker: str, message: Message) -> None:
        if not self._is_stopped:
            self._messages.put((worker, message))

    def close(self) -> None:
        self._messages.put(None)

    def wait(self, patience_seconds: float) -> None:
        """Wait until all messages are handled, as long as their number falls within each `patience_seconds`."""
        left = -1
        while self._thread.is_alive() and self._messages.qsize() != left:
            left = self._messages.qsize()
            self._thread.join(patience_seconds)
        if self._thread.is_alive():
            self._is_stopped = True
            logger.warning("%s does not handle the messages of the run, and is left behind", self._name)

    def _work(self, watcher: Watcher, run: RunStarted) -> None:
        try:
            on_message = watcher(run)
            while (item := self._messages.get()) is not None:
                on_message(*item)
        except BaseException as error:  # noqa: BLE001  # no error of a watcher may stop the pairs
            self._is_stopped = True
            logger.warning(
                "%s gets no more messages of this run: %s", self._name, redacted(f"{type(error).__name__}: {error}")
            )
