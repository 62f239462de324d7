"""What a worker process says while it works on a batch; every pair of the batch ends in one of `Outcome`.

What is said is early news, not the truth: that is in the ledger, and is there before it is said.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flows.records.attempts import AttemptRecord, PairRecord


@dataclass(frozen=True)
class ChunkStarted:
    """These pairs are on the device from now on; should the process die, one of them may be the reason.

    Attributes:
        memory_bytes: the most that the process has had on its device so far.
    """

    pair_ids: tuple[str, ...]
    process_id: int
    memory_bytes: int = 0


@dataclass(frozen=True)
class LeftPending:
    """Neither the result of a pair nor its failure could be kept: the next run does it again."""

    pair_id: str
    error: str
    kind: str = "storage"


@dataclass(frozen=True)
class StepTaken:
    """A sign of life from the device: the last step of a pair, at most once a second.

    Attributes:
        level: how often the size is halved at this step; 0 is full size.
        step: accepted steps at this level.
        total_loss: as the optimizer sees it, at the level's size.
    """

    pair_id: str
    level: int
    step: int
    total_loss: float


@dataclass(frozen=True)
class DeviceWaits:
    """The device has nothing to do, as results are written, or the next pairs are read; for the clock alone."""


@dataclass(frozen=True)
class DeviceGoesOn:
    """It goes on with the chunk that it was at."""


Outcome = PairRecord | AttemptRecord | LeftPending
Message = ChunkStarted | StepTaken | Outcome
Emit = Callable[[Message | DeviceWaits | DeviceGoesOn], None]
OnWorkerMessage = Callable[[str, Message], None]
"""Takes in what a worker, of this name, says."""
