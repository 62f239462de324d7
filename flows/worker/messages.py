"""The messages that a worker process emits while it works on a batch; every pair of the batch ends in one `Outcome`.

Messages are only a notification. The ledger is the source of truth, and is written before the message is emitted.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flows.records.attempts import AttemptRecord, PairRecord


@dataclass(frozen=True)
class ChunkStarted:
    """These pairs are on the device from now on; if the process dies, one of them may be the reason.

    Attributes:
        pair_ids: the ids of the pairs.
        process_id: the id of the worker process.
        memory_bytes: the process's peak memory on its device so far.
    """

    pair_ids: tuple[str, ...]
    process_id: int
    memory_bytes: int = 0


@dataclass(frozen=True)
class LeftPending:
    """Neither the result of a pair nor its failure could be written, so that the next run makes the pair again.

    Attributes:
        pair_id: the id of the pair.
        error: why nothing could be written.
        kind: the kind of error, as in the results table.
    """

    pair_id: str
    error: str
    kind: str = "storage"


@dataclass(frozen=True)
class StepTaken:
    """A heartbeat of the device: the latest step of a pair, emitted at most once a second.

    Attributes:
        pair_id: the id of the pair.
        level: how often the size is halved at this step; 0 is full size.
        step: the number of accepted steps at this level.
        total_loss: the loss that the optimizer sees, at the level's size.
    """

    pair_id: str
    level: int
    step: int
    total_loss: float


@dataclass(frozen=True)
class DeviceWaits:
    """The device is idle while results are written or pairs are read; only stops the clock of the pairs' time limit."""


@dataclass(frozen=True)
class DeviceGoesOn:
    """The device goes on with its chunk after `DeviceWaits`."""


Outcome = PairRecord | AttemptRecord | LeftPending
Message = ChunkStarted | StepTaken | Outcome
Emit = Callable[[Message | DeviceWaits | DeviceGoesOn], None]
OnWorkerMessage = Callable[[str, Message], None]
"""Receives a worker's name and a message that it emitted."""
