"""A batch on a worker process, whatever happens to the process: who is done, and who has to be done again.

A pair whose process dies is not yet a failed pair: it may have been its neighbour's fault. All that were on the
device are done once more, each alone in the process, and only one that dies so is failed.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from flows.records import Batch, PlannedPair, utc_now
from flows.worker import ChunkStarted, Job, Message, stylize_pairs
from flows.worker.failures import keep_failure
from flows.worker_pool import DeviceWorker, WorkerDied

OnMessage = Callable[[Message], None]
Group = tuple[PlannedPair, ...]


class _Watch:
    """Hands messages on, and remembers which pairs were begun and which have their outcome."""

    def __init__(self, on_message: OnMessage) -> None:
        self._on_message = on_message
        self.begun: set[str] = set()
        self.finished: set[str] = set()

    def __call__(self, message: Message) -> None:
        if isinstance(message, ChunkStarted):
            self.begun.update(message.pair_ids)
        else:
            self.finished.add(message.pair_id)
        self._on_message(message)


def carry_out(batch: Batch, job: Job, worker: DeviceWorker, on_message: OnMessage) -> None:
    """Do all pairs of a batch; `on_message` is told the outcome of each as soon as there is one, exactly once.

    Raises:
        WeightsError: which is no pair's fault and ends the run.
        PoolStopped: if the run is being interrupted; pairs without an outcome stay pending.
    """
    groups: deque[Group] = deque([batch.pairs])
    while groups:
        group = groups.popleft()
        watch = _Watch(on_message)
        began, started_at = time.monotonic(), utc_now()
        try:
            worker.run_reporting(watch, stylize_pairs, group, job, worker.device)
        except WorkerDied as error:
            left = tuple(pair for pair in group if pair.spec.pair_id not in watch.finished)
            if len(group) > 1:
                groups.extend(regrouped(left, watch.begun))
                continue
            for pair in left:
                seconds = time.monotonic() - began
                on_message(keep_failure(pair, job, error, device=worker.device, seconds=seconds, started_at=started_at))


def regrouped(left: Sequence[PlannedPair], begun: Collection[str]) -> list[Group]:
    """How to go on after a death: first those that had not begun, together as before, then the others one by one.

    If none had begun, it was the loading of any of them.
    """
    suspects = [pair for pair in left if pair.spec.pair_id in begun] or list(left)
    others = tuple(pair for pair in left if pair not in suspects)
    return [*([others] if others else []), *((pair,) for pair in suspects)]
