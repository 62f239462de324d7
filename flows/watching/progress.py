"""Track the progress of a run: the current work of each worker, the share done, and an estimate of the time left."""

import time
from dataclasses import dataclass, field

from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.records.runs import RunStarted
from flows.worker.messages import ChunkStarted, LeftPending, Message, StepTaken
from nst_core.geometry.levels import steps_at

LOSSES_SHOWN = 12
"""How many of the latest losses of a pair are kept."""


@dataclass
class WorkerState:
    """The current work of a worker.

    Attributes:
        pair_ids: the ids of the pairs on its device.
        pair_id: the pair that reported the latest step.
        step: the latest step of that pair.
        level: the level of that step: how often the size is halved.
        losses: the total losses of the pair's last steps, to show a trend.
    """

    pair_ids: tuple[str, ...] = ()
    pair_id: str = ""
    step: int = 0
    level: int = 0
    losses: list[float] = field(default_factory=list)


class RunProgress:
    """The progress of a run. Not thread-safe: the owner has to lock.

    Work is measured in pixels times steps, because pairs may differ a hundredfold in it; a pair that stops early or
    fails counts as done. The rate is that of the pairs that this run has finished since its first pair started.

    Attributes:
        run: the run.
        succeeded: the number of pairs that succeeded.
        failed: the number of pairs that failed.
        pending: the number of pairs that were left pending.
        workers: the state of each worker by its name.
    """

    def __init__(self, run: RunStarted) -> None:
        self.run = run
        self.succeeded = self.failed = self.pending = 0
        self.workers = {name: WorkerState() for name in run.workers}
        self._work = {pair.spec.pair_id: _work(pair) for pair in run.todo}
        self._total_work = sum(self._work.values())
        self._work_done = 0
        self._started_at: float | None = None

    @property
    def finished(self) -> int:
        """The number of pairs with an outcome."""
        return self.succeeded + self.failed + self.pending

    @property
    def left(self) -> int:
        """The number of pairs without an outcome."""
        return len(self.run.todo) - self.finished

    @property
    def share_done(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return self._work_done / self._total_work if self._total_work else 1.0

    def on_message(self, worker: str, message: Message, now: float | None = None) -> None:
        """Update the progress from a worker's message; `now` is in seconds of the monotonic clock."""
        now = time.monotonic() if now is None else now
        state = self.workers.setdefault(worker, WorkerState())
        if isinstance(message, ChunkStarted):
            self._started_at = now if self._started_at is None else self._started_at
            self.workers[worker] = WorkerState(message.pair_ids, message.pair_ids[0])
        elif isinstance(message, StepTaken):
            if (message.pair_id, message.level) != (state.pair_id, state.level):
                state.losses = []
            state.pair_id, state.level, state.step = message.pair_id, message.level, message.step
            state.losses = [*state.losses, message.total_loss][-LOSSES_SHOWN:]
        else:
            self._work_done += self._work.get(message.pair_id, 0)
            self.succeeded += isinstance(message, PairRecord)
            self.failed += isinstance(message, AttemptRecord)
            self.pending += isinstance(message, LeftPending)

    def pairs_per_minute(self, now: float | None = None) -> float | None:
        """Return the rate so far; None before the first pair is finished."""
        seconds = self._elapsed_seconds(now)
        return 60.0 * self.finished / seconds if self.finished and seconds > 0 else None

    def seconds_left(self, now: float | None = None) -> float | None:
        """Estimate the time left.

        Returns:
            None until at least 2 pairs, and as many as there are workers, are finished: workers start cold.
        """
        seconds = self._elapsed_seconds(now)
        if self.finished < max(2, len(self.run.workers)) or not self._work_done or seconds <= 0:
            return None
        return seconds * (self._total_work - self._work_done) / self._work_done

    def _elapsed_seconds(self, now: float | None) -> float:
        if self._started_at is None:
            return 0.0
        return (time.monotonic() if now is None else now) - self._started_at


def _work(pair: PlannedPair) -> int:
    options = pair.spec.options
    return options.size_px**2 * steps_at(options.size_px, options.size_px, options)
