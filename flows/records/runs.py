"""What a run was asked to do, what it took, and its end in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from flows.records.pairs import CellError, RejectedRow
from flows.records.plans import PlannedPair
from flows.records.record import Record
from nst_core.errors import NstError
from nst_core.options import StylizeOptions


class RunRecord(Record):
    """What one run was asked to do: enough to plan it again. Kept beside the manifest, byte for byte."""

    run_id: str
    manifest_uri: str
    manifest_sha256: str
    options: StylizeOptions
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Options on top of every row's own: what a retry was asked to do otherwise."""
    settings: dict[str, Any]
    backbone: str
    weights_sha256: str
    engine_version: str
    device: str
    precision: str
    started_at: str
    fingerprints: dict[str, str]
    """Pair id -> fingerprint, of every valid row, selected or not."""
    refused: dict[int, tuple[CellError, ...]] = Field(default_factory=dict)
    """Line -> reasons, of every row that the operator's limits refused when the run was planned."""


class StyleCosts(Record):
    """What the pairs of one style took."""

    pairs: int = 0
    evaluations: int = 0
    """Passes forward and back, of all sizes."""
    processor_hours: float = 0.0
    """Of the CPU's threads that pairs were on."""
    gpu_hours: float = 0.0


class RunCosts(Record):
    """What a run took for the pairs that it made itself."""

    pairs_per_hour: float
    evaluations_per_second: float
    evaluations: int
    processor_hours: float
    gpu_hours: float
    by_style: dict[str, StyleCosts]
    """By the name of the style's file, the dearest first."""


class RunSummary(Record):
    """The end of a run in numbers."""

    run_id: str
    manifest: str
    output: str
    rows: int
    succeeded: int
    failed: int
    rejected: int
    pending: int
    done_before: int
    """Of the succeeded, how many an earlier run had done."""
    stylized_now: int
    seconds: float
    seconds_per_pair: float | None
    device: str
    precision: str
    backbone: str
    results_csv: str
    results_parquet: str
    storage_notes: tuple[str, ...] = ()
    """What the file system of the output does not promise."""
    costs: RunCosts | None = None
    """Of the pairs that were stylized now; None where there were none."""


@dataclass(frozen=True)
class RunStarted:
    """A run is about to begin with its pairs: the first thing that a watcher receives.

    Attributes:
        workers: their names.
        devices: one per worker.
    """

    run_id: str
    output: str
    todo: Sequence[PlannedPair]
    done_before: int
    rejected: Sequence[RejectedRow]
    workers: tuple[str, ...]
    devices: tuple[str, ...]
    backbone: str
    precision: str


Stage = Literal["waiting", "running", "ended", "failed", "cancelled"]
"""The stage that a run is in; the last three are final."""


@dataclass(frozen=True)
class RunState:
    """The state of a run, as the scheduler that started it reports it.

    Attributes:
        stage: the stage of the run; it is `ended` also if rows failed, as the run did what it could.
        name: the scheduler's name of the state, for people.
        message: the message of the state.
        error: the error that ended a run that failed or was cancelled; None in any other stage.
        is_complete_success: whether the run ended and every selected row succeeded.
    """

    stage: Stage
    name: str
    message: str = ""
    error: NstError | None = field(default=None, compare=False)
    is_complete_success: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the run is over."""
        return self.stage in ("ended", "failed", "cancelled")
