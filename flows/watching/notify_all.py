"""Start all watchers of a run: the log, and those of the caller, the operator and the current context."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.records.runs import RunStarted
from flows.watching.from_environment import operators_watchers
from flows.watching.listeners import Watcher, notify, watchers_here
from flows.watching.log import watch_log
from flows.worker.messages import OnWorkerMessage


@contextmanager
def notify_all(run: RunStarted, *more: Watcher) -> Iterator[OnWorkerMessage]:
    """Start all watchers for a run and yield the callback that sends messages to them.

    Args:
        run: the run that starts.
        *more: the caller's own watchers.
    """
    with operators_watchers() as operators, notify(run, (watch_log, *more, *operators, *watchers_here())) as on_message:
        yield on_message
