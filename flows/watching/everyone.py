"""Everyone who is told of a run: the log, whoever the caller and the operator name."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.watching.from_environment import operators_watchers
from flows.watching.listeners import Watcher, told, watchers_here
from flows.watching.log import watch_log
from flows.worker.messages import Hear, RunStarted


@contextmanager
def everyone_told(run: RunStarted, *more: Watcher) -> Iterator[Hear]:
    """Tell all of them that a run starts, and then what is said in the block; `more` are told too."""
    with operators_watchers() as theirs, told(run, (watch_log, *more, *theirs, *watchers_here())) as hear:
        yield hear
