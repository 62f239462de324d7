"""The records of a run: its request (RunRecord), its start (RunStarted), its costs and its summary (RunSummary)."""

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
    """The request of one run, complete enough to plan it again; stored next to an exact copy of the manifest."""

    run_id: str
    manifest_uri: str
    manifest_sha256: str
    options: StylizeOptions
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Options that a retry sets for every row, overriding the row's own."""
    settings: dict[str, Any]
    backbone: str
    weights_sha256: str
    engine_version: str
    device: str
    precision: str
    started_at: str
    fingerprints: dict[str, str]
    """The fingerprint of every valid row by pair id, whether the row was selected or not."""
    retrying: dict[str, str] = Field(default_factory=dict)
    """The pairs that a retry sets out to do, and those that interrupted retries before it left undone: the fingerprint
    under which each failed, by pair id."""
    refused: dict[int, tuple[CellError, ...]] = Field(default_factory=dict)
    """The errors of every row that the operator's limits refused when the run was planned, by the row's line."""


class StyleCosts(Record):
    """The cost of the pairs of one style."""

    pairs: int = 0
    evaluations: int = 0
    """The number of forward and backward passes, at all sizes."""
    processor_hours: float = 0.0
    """Hours of the CPU threads that worked on the pairs."""
    gpu_hours: float = 0.0


class RunCosts(Record):
    """The cost of the pairs that a run stylized itself."""

    pairs_per_hour: float
    evaluations_per_second: float
    evaluations: int
    processor_hours: float
    gpu_hours: float
    by_style: dict[str, StyleCosts]
    """The costs by the file name of the style image, the most expensive first."""


class RunSummary(Record):
    """The result of a run in numbers."""

    run_id: str
    manifest: str
    output: str
    rows: int
    succeeded: int
    failed: int
    rejected: int
    pending: int
    done_before: int
    """The number of succeeded pairs that an earlier run had done."""
    stylized_now: int
    seconds: float
    seconds_per_pair: float | None
    device: str
    precision: str
    backbone: str
    results_csv: str
    results_parquet: str
    storage_notes: tuple[str, ...] = ()
    """The guarantees that the output's file system does not give."""
    costs: RunCosts | None = None
    """The cost of the pairs that this run stylized; None if there were none."""


@dataclass(frozen=True)
class RunStarted:
    """The message that every watcher receives first, before a run begins its pairs.

    Attributes:
        todo: the pairs that the run will do, in the order of the manifest.
        workers: the names of the workers.
        devices: the device of each worker.
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
