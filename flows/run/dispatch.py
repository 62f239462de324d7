"""Carry out one batch on a worker process, and recover if the process dies or hangs.

A pair whose worker process dies has not failed yet: the cause may be another pair, or the system. All pairs that were
on the device are tried once more, each alone in a process; a pair fails only if its process dies again. A process that
exceeds its time limit or sends no message for too long is killed; a pair that was alone in it fails at once. Time in
which this process is stopped, as by Ctrl-Z, does not count: the worker is usually stopped with it.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flows.clock import awake_seconds
from flows.errors import TookTooLong, WorkerDied
from flows.records.plans import Batch, PlannedPair
from flows.records.timestamps import Moment
from flows.runners import Worker
from flows.wording import first_few
from flows.worker.batch import stylize_pairs
from flows.worker.failures import keep_failure
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Message, StepTaken

logger = logging.getLogger(__name__)

OnMessage = Callable[[Message], None]
Group = tuple[PlannedPair, ...]


@dataclass(frozen=True)
class Patience:
    """The time limits of a worker process.

    Attributes:
        pair_seconds: the limit per pair on the device, not counting waits for storage; None is no limit.
        stall_seconds: the time without any message after which the process counts as hanging.
    """

    pair_seconds: float | None = None
    stall_seconds: float = 1800.0


DEFAULT_PATIENCE = Patience()


class _Watch:
    """Watches one call: forwards its messages, records which pairs have begun and finished, and checks time limits."""

    def __init__(self, on_message: OnMessage, patience: Patience) -> None:
        self._on_message, self._patience = on_message, patience
        self._last_message_at: float | None = None  # None while the process is still starting
        self._chunk_began = awake_seconds()
        self._waits_since: float | None = None
        self.begun: set[str] = set()
        self.finished: set[str] = set()
        self.on_device: set[str] = set()

    def __call__(self, message: Message | DeviceWaits | DeviceGoesOn) -> None:
        self._last_message_at = now = awake_seconds()
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
        """Stop or restart the clock of the chunk: slow storage is no reason to kill a process whose pairs are done."""
        if self._waits_since is not None:
            self._chunk_began += now - self._waits_since
        self._waits_since = now if waits else None

    def check(self) -> None:
        """Raise TookTooLong if a time limit is exceeded; the caller then kills the process."""
        now, left = awake_seconds(), self.on_device - self.finished
        if self._last_message_at is None:
            self._last_message_at = now
        silent = now - self._last_message_at
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
    """Do all pairs of a batch; `on_message` receives the outcome of each pair exactly once, as soon as it is known.

    Args:
        batch: the pairs to do.
        job: what the worker needs to know of the run.
        worker: the worker that does them.
        on_message: receives the worker's messages, the outcomes among them.
        patience: the time limits of the worker's process.

    Raises:
        WeightsError: if the weights cannot be used; this is no pair's fault and ends the run.
        DeviceUnusable: if the worker's device cannot be used; another worker has to do the pairs without an outcome.
        ClusterError, HardwareUnknown: if no worker process can be had any more; this ends the run too.
        PoolStopped: if the run is being stopped; pairs without an outcome stay pending.
    """
    groups: deque[Group] = deque([batch.pairs])
    suspected: set[str] = set()  # pairs that may have caused the death of a process: they run alone from then on
    while groups:
        group = groups.popleft()
        watch = _Watch(on_message, patience)
        began = Moment.now()
        try:
            worker.run_watched(watch, watch.check, stylize_pairs, group, job, worker.device)
        except (WorkerDied, TookTooLong) as error:
            left = tuple(pair for pair in group if pair.spec.pair_id not in watch.finished)
            at_fault = _at_fault(left, watch, error, suspected)
            for pair in at_fault:
                on_message(keep_failure(pair, job, error, device=worker.device, began=began))
            again = [pair for pair in left if pair not in at_fault]
            suspected |= {pair.spec.pair_id for pair in suspects(again, watch.begun)}
            _log_what_is_done_again(again, error)
            groups.extend(regrouped(again, watch.begun))


def _log_what_is_done_again(pairs: Sequence[PlannedPair], error: Exception) -> None:
    """Log it as it happens: for a large image it is an hour of work, and the run would seem to hang."""
    if pairs:
        ids = first_few((pair.spec.pair_id for pair in pairs), 3)
        logger.warning("%s. Done again from their beginning: %s", error, ids)


def _at_fault(left: Group, watch: _Watch, error: Exception, suspected: Collection[str]) -> Group:
    """Return the pair that certainly caused an error, if any.

    That is the only pair on the device when the process was killed for taking too long, or a pair that was alone in its
    process when that died and that had been a suspect before.
    """
    if isinstance(error, TookTooLong):
        return left if len(left) == 1 else tuple(pair for pair in left if {pair.spec.pair_id} == watch.on_device)
    return left if len(left) == 1 and left[0].spec.pair_id in suspected else ()


def suspects(left: Sequence[PlannedPair], begun: Collection[str]) -> list[PlannedPair]:
    """Return the pairs that may have caused a process's death: those that had begun, or all if none had.

    If none had begun, the process may have died while loading any of them.
    """
    return [pair for pair in left if pair.spec.pair_id in begun] or list(left)


def regrouped(left: Sequence[PlannedPair], begun: Collection[str]) -> list[Group]:
    """Return the groups to do after a process died: all pairs but the suspects together, then each suspect alone."""
    alone = suspects(left, begun)
    others = tuple(pair for pair in left if pair not in alone)
    return [*([others] if others else []), *((pair,) for pair in alone)]
