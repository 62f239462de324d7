"""A batch on a worker process, whatever happens to the process: who is done, and who has to be done again.

A pair whose process dies is not yet a failed pair: it may have been its neighbour's fault, or the system's. All that
were on the device are done once more, each alone in the process, and only one that dies so again is failed. A process
that takes too long, or gives no sign of life, is killed; a pair that was alone is then failed at once.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flows.errors import TookTooLong, WorkerDied
from flows.records.plans import Batch, PlannedPair
from flows.records.timestamps import Moment
from flows.runners import Worker
from flows.worker.batch import stylize_pairs
from flows.worker.failures import keep_failure
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Message, StepTaken

OnMessage = Callable[[Message], None]
Group = tuple[PlannedPair, ...]


@dataclass(frozen=True)
class Patience:
    """What a worker process is allowed.

    Attributes:
        pair_seconds: on the device, per pair, without what it waits for storage; None is as long as it takes.
        stall_seconds: without a word, after which the process counts as hanging.
    """

    pair_seconds: float | None = None
    stall_seconds: float = 1800.0


DEFAULT_PATIENCE = Patience()


class _Watch:
    """Hands messages on, remembers which pairs were begun and which have their outcome, and looks at the clock."""

    def __init__(self, on_message: OnMessage, patience: Patience) -> None:
        self._on_message, self._patience = on_message, patience
        self._heard: float | None = None  # the process is still starting
        self._chunk_began = time.monotonic()
        self._waits_since: float | None = None
        self.begun: set[str] = set()
        self.finished: set[str] = set()
        self.on_device: set[str] = set()

    def __call__(self, message: Message | DeviceWaits | DeviceGoesOn) -> None:
        self._heard = now = time.monotonic()
        if isinstance(message, DeviceWaits | DeviceGoesOn):
            self._stop_clock(now, waits=isinstance(message, DeviceWaits))
            return
        if isinstance(message, ChunkStarted):
            self._chunk_began, self._waits_since = now, None
            self.on_device = set(message.pair_ids)
            self.begun |= self.on_device
        elif not isinstance(message, StepTaken):
            self.finished.add(message.pair_id)
        self._on_message(message)

    def _stop_clock(self, now: float, *, waits: bool) -> None:
        """Storage that stumbles is no reason to kill a process whose pairs are computed."""
        if self._waits_since is not None:
            self._chunk_began += now - self._waits_since
        self._waits_since = now if waits else None

    def check(self) -> None:
        """Raises TookTooLong if it does; the process is then killed."""
        now, left = time.monotonic(), self.on_device - self.finished
        if self._heard is None:
            self._heard = now
        silent = now - self._heard
        if silent > self._patience.stall_seconds:
            raise TookTooLong(
                f"the worker process gave no sign of life for {silent:.0f} s and was killed; if it was at work, "
                "--stall-seconds allows more"
            )
        if self._patience.pair_seconds is None or not left or self._waits_since is not None:
            return
        allowed = self._patience.pair_seconds * len(self.on_device)
        if now - self._chunk_began > allowed:
            raise TookTooLong(
                f"not done after {now - self._chunk_began:.0f} s on the device; {self._patience.pair_seconds:g} s per "
                "pair are allowed (pair_timeout_seconds). Try a smaller size_px or fewer steps"
            )


def run_batch(
    batch: Batch, job: Job, worker: Worker, on_message: OnMessage, patience: Patience = DEFAULT_PATIENCE
) -> None:
    """Do all pairs of a batch; `on_message` is told the outcome of each as soon as there is one, exactly once.

    Raises:
        WeightsError: which is no pair's fault and ends the run.
        DeviceUnusable: if the worker is of no use any more; pairs without an outcome are another one's.
        ClusterError, HardwareUnknown: if there is no worker any more, which ends the run too.
        PoolStopped: if the run is being interrupted; pairs without an outcome stay pending.
    """
    groups: deque[Group] = deque([batch.pairs])
    outlived_one: set[str] = set()  # pairs whose process died once, with them on the device
    while groups:
        group = groups.popleft()
        watch = _Watch(on_message, patience)
        began = Moment.now()
        try:
            worker.run_watched(watch, watch.check, stylize_pairs, group, job, worker.device)
        except (WorkerDied, TookTooLong) as error:
            left = tuple(pair for pair in group if pair.spec.pair_id not in watch.finished)
            at_fault = _at_fault(left, watch, error, outlived_one)
            for pair in at_fault:
                on_message(keep_failure(pair, job, error, device=worker.device, began=began))
            again = [pair for pair in left if pair not in at_fault]
            outlived_one |= {pair.spec.pair_id for pair in suspects(again, watch.begun)}
            groups.extend(regrouped(again, watch.begun))


def _at_fault(left: Group, watch: _Watch, error: Exception, outlived_one: Collection[str]) -> Group:
    """The pair that is surely the reason: alone, and too long at it, or for the second time; else nobody is yet."""
    if isinstance(error, TookTooLong):
        return left if len(left) == 1 else tuple(pair for pair in left if {pair.spec.pair_id} == watch.on_device)
    return left if len(left) == 1 and left[0].spec.pair_id in outlived_one else ()


def suspects(left: Sequence[PlannedPair], begun: Collection[str]) -> list[PlannedPair]:
    """Who may have been the reason of a death: those that had begun; if none had, the loading of any of them."""
    return [pair for pair in left if pair.spec.pair_id in begun] or list(left)


def regrouped(left: Sequence[PlannedPair], begun: Collection[str]) -> list[Group]:
    """How to go on after a death: first those that had not begun, together as before, then the others one by one."""
    alone = suspects(left, begun)
    others = tuple(pair for pair in left if pair not in alone)
    return [*([others] if others else []), *((pair,) for pair in alone)]
