"""Where a run stands: what each worker is at, how much is done, and how long the rest will take."""

import time
from dataclasses import dataclass, field

from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.records.runs import RunStarted
from flows.worker.messages import ChunkStarted, LeftPending, Message, StepTaken
from nst_core.geometry.levels import steps_at

LOSSES_SHOWN = 12


@dataclass
class WorkerState:
    """What a worker is at.

    Attributes:
        pair_ids: of the pairs on its device.
        losses: total losses of the last steps of one of them, for a trend.
    """

    pair_ids: tuple[str, ...] = ()
    pair_id: str = ""
    step: int = 0
    level: int = 0
    losses: list[float] = field(default_factory=list)


class RunProgress:
    """Where a run stands. Not safe for threads: its owner sees to that.

    Work is counted in pixels times steps, as pairs may differ a hundredfold in it; a pair that stops early, or fails,
    counts as done. The rate is that of the pairs that this run has finished, since its first one began.
    """

    def __init__(self, run: RunStarted) -> None:
        self.run = run
        self.succeeded = self.failed = self.pending = 0
        self.workers = {name: WorkerState() for name in run.workers}
        self._work = {pair.spec.pair_id: _work(pair) for pair in run.todo}
        self._whole = sum(self._work.values())
        self._done = 0
        self._began: float | None = None

    @property
    def finished(self) -> int:
        """Pairs that have their outcome."""
        return self.succeeded + self.failed + self.pending

    @property
    def left(self) -> int:
        """Pairs that have none yet."""
        return len(self.run.todo) - self.finished

    @property
    def share_done(self) -> float:
        """Of the work, from 0 to 1."""
        return self._done / self._whole if self._whole else 1.0

    def on_message(self, worker: str, message: Message, now: float | None = None) -> None:
        """Take a message down."""
        now = time.monotonic() if now is None else now
        state = self.workers.setdefault(worker, WorkerState())
        if isinstance(message, ChunkStarted):
            self._began = now if self._began is None else self._began
            self.workers[worker] = WorkerState(message.pair_ids, message.pair_ids[0])
        elif isinstance(message, StepTaken):
            if (message.pair_id, message.level) != (state.pair_id, state.level):
                state.losses = []
            state.pair_id, state.level, state.step = message.pair_id, message.level, message.step
            state.losses = [*state.losses, message.total_loss][-LOSSES_SHOWN:]
        else:
            self._done += self._work.get(message.pair_id, 0)
            self.succeeded += isinstance(message, PairRecord)
            self.failed += isinstance(message, AttemptRecord)
            self.pending += isinstance(message, LeftPending)

    def pairs_per_minute(self, now: float | None = None) -> float | None:
        """The rate so far; None before there is one."""
        seconds = self._seconds(now)
        return 60.0 * self.finished / seconds if self.finished and seconds > 0 else None

    def seconds_left(self, now: float | None = None) -> float | None:
        """An estimate; None until as many pairs are finished as there are workers, which start cold."""
        seconds = self._seconds(now)
        if self.finished < max(2, len(self.run.workers)) or not self._done or seconds <= 0:
            return None
        return seconds * (self._whole - self._done) / self._done

    def _seconds(self, now: float | None) -> float:
        if self._began is None:
            return 0.0
        return (time.monotonic() if now is None else now) - self._began


def _work(pair: PlannedPair) -> int:
    options = pair.spec.options
    return options.size_px**2 * steps_at(options.size_px, options.size_px, options)
