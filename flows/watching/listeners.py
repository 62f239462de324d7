"""Who is told of a run as it goes on, each by a thread of its own: whatever goes wrong there is no pair's trouble.

A watcher is told once that a run starts, and gives back who hears what its workers say. Runs in one process, however
many, have each their own.
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
"""At the end of a run, for whoever takes in none of the news that is left."""
HURRY_SECONDS = 2.0
"""The same where the run was interrupted."""


Watcher = Callable[[RunStarted], OnWorkerMessage]

_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def watched_by(*watchers: Watcher) -> Iterator[None]:
    """Runs that are started in this context are told to these watchers too, for as long as the block lasts."""
    token = _watchers.set((*_watchers.get(), *watchers))
    try:
        yield
    finally:
        _watchers.reset(token)


def watchers_here() -> tuple[Watcher, ...]:
    """Those of the context."""
    return _watchers.get()


@contextmanager
def notify(
    run: RunStarted, watchers: Iterable[Watcher], patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[OnWorkerMessage]:
    """Tell watchers of a run, for as long as the block lasts; what is yielded returns at once and raises nothing."""
    threads = [_WatcherThread(watcher, run) for watcher in watchers]

    def on_message(worker: str, message: Message) -> None:
        for thread in threads:
            thread.tell(worker, message)

    try:
        yield on_message
    except BaseException:
        patience_seconds = min(patience_seconds, HURRY_SECONDS)  # as an interrupted run is to end within seconds
        raise
    finally:
        for thread in threads:
            thread.close()
        for thread in threads:
            thread.wait(patience_seconds)


class _WatcherThread:
    """Tells one watcher, in order; after its first error it is left alone."""

    def __init__(self, watcher: Watcher, run: RunStarted) -> None:
        self._name = getattr(watcher, "__qualname__", type(watcher).__name__).partition(".")[0]
        self._news: queue.SimpleQueue[tuple[str, Message] | None] = queue.SimpleQueue()
        self._is_over = False
        context = contextvars.copy_context()  # says which run the log and artifacts are of
        # A daemon: one that hangs must not keep the process from its end.
        self._thread = threading.Thread(
            target=context.run, args=(self._work, watcher, run), name=self._name, daemon=True
        )
        self._thread.start()

    def tell(self, worker: str, message: Message) -> None:
        if not self._is_over:
            self._news.put((worker, message))

    def close(self) -> None:
        self._news.put(None)

    def wait(self, patience_seconds: float) -> None:
        """Until all news is taken in: for a slow reader as long as it reads, for one that hangs only so long."""
        left = -1
        while self._thread.is_alive() and self._news.qsize() != left:
            left = self._news.qsize()
            self._thread.join(patience_seconds)
        if self._thread.is_alive():
            self._is_over = True
            logger.warning("%s does not take in the news of the run, and is left behind", self._name)

    def _work(self, watcher: Watcher, run: RunStarted) -> None:
        try:
            on_message = watcher(run)
            while (news := self._news.get()) is not None:
                on_message(*news)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the pairs go on
            self._is_over = True
            logger.warning(
                "%s is told no more of this run: %s", self._name, redacted(f"{type(error).__name__}: {error}")
            )
