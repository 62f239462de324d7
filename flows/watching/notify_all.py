"""Everyone who is told of a run: the log, whoever the caller and the operator name."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.records.runs import RunStarted
from flows.watching.from_environment import operators_watchers
from flows.watching.listeners import Watcher, notify, watchers_here
from flows.watching.log import watch_log
from flows.worker.messages import OnWorkerMessage


@contextmanager
def notify_all(run: RunStarted, *more: Watcher) -> Iterator[OnWorkerMessage]:
    """Tell all of them that a run starts, and then what is said in the block; `more` are told too."""
    with operators_watchers() as theirs, notify(run, (watch_log, *more, *theirs, *watchers_here())) as on_message:
        yield on_message
