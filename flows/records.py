"""The frozen types that cross boundaries: from manifest to plan, to the worker and back, and into files.

manifest row -> PairSpec (or RejectedRow) -> Batch -> PairRecord (it is done) or AttemptRecord (it failed) -> table row.
No torch, no prefect, no I/O.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from flows.wording import named, shown
from nst_core.errors import BadImage, NstError, OptionsError, ShapeError
from nst_core.options import StylizeOptions

Status = Literal["succeeded", "failed", "rejected", "pending"]

RESULT_COLUMNS = (
    *("run_id", "pair_id", "row", "content", "style", "output", "status", "error_kind", "error", "attempts"),
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "steps", "evaluations"),
    *("stop_reason", "width", "height", "seconds", "device", "precision", "backbone", "weights_sha256", "recipe"),
    *("options_digest", "seed", "content_sha256", "style_sha256", "output_sha256", "started_at", "finished_at"),
    *("engine_version", "content_distance", "style_distance", "quality", "version_ids", "steps_asked"),
)
"""The columns of the results table, before the manifest's own extra columns."""

WHOLE_NUMBERS = ("row", "attempts", "steps", "evaluations", "width", "height", "seed", "steps_asked")
REAL_NUMBERS = (
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "seconds"),
    *("content_distance", "style_distance"),
)
TIMES = ("started_at", "finished_at")
REPEATED_TEXTS = (
    *("run_id", "content", "style", "status", "error_kind", "stop_reason", "device", "precision", "backbone"),
    *("weights_sha256", "recipe", "options_digest", "content_sha256", "style_sha256", "engine_version", "quality"),
)
"""Those of them that are no plain text: numbers, times, and texts that many rows share."""

FURTHER_STYLES = ("style_2", "style_3", "style_4")
OTHER_PICTURES = (*FURTHER_STYLES, "content_mask", "style_mask", "protect", "init_image")
"""Columns of a manifest for pictures beyond `content` and `style`."""
OF_THE_STYLE = (*FURTHER_STYLES, "style_mask")
"""Those of them that pairs of one style share."""


@dataclass(frozen=True)
class CellError:
    """What is wrong in one cell of a manifest row; `column` is None when it is the whole row."""

    column: str | None
    value: str
    reason: str

    def in_words(self) -> str:
        """The reason, with its column."""
        return self.reason if self.column is None else f"column {shown(self.column)}: {self.reason}"


@dataclass(frozen=True)
class RejectedRow:
    """A manifest row that cannot become a pair, with everything that is wrong with it.

    `row` is the line of the manifest on which the row starts; the header is line 1. `cells` are the row's cells as
    written, by column, as far as they could be told.
    """

    row: int
    errors: tuple[CellError, ...]
    cells: dict[str, str] = field(default_factory=dict)
    kind: str = "manifest"
    """The word for it in the results table."""

    def reason(self) -> str:
        """What is wrong with the row, in one line."""
        return "; ".join(named(self.errors, CellError.in_words))


@dataclass(frozen=True)
class PairSpec:
    """One pair to stylize.

    Attributes:
        row: line of the manifest on which the row starts; the header is line 1.
        pair_id: unique in the manifest, and the start of the output's name.
        content, style: absolute local paths or `s3://` addresses.
        options: resolved: the run's options with the row's own on top.
        extra: cells of columns that the results table does not have of itself, untouched.
        content_cell, style_cell: the addresses as the manifest has them, for the results table.
        others: the addresses of further pictures, by column; those that the row has.
    """

    row: int
    pair_id: str
    content: str
    style: str
    options: StylizeOptions
    extra: dict[str, str] = field(default_factory=dict)
    content_cell: str = ""
    style_cell: str = ""
    others: dict[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> dict[str, str]:
        """The addresses of all pictures, by column."""
        return {"content": self.content, "style": self.style, **self.others}

    def cell_of(self, column: str) -> str:
        """The address of a picture as the manifest has it."""
        return {"content": self.content_cell, "style": self.style_cell}.get(column, self.extra.get(column, ""))


@dataclass(frozen=True)
class Manifest:
    """A manifest as read: `pairs` and `rejected` together are all its rows; `notes` say what was passed over."""

    uri: str
    sha256: str
    extra_columns: tuple[str, ...]
    pairs: tuple[PairSpec, ...]
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedPair:
    """A pair with the identity of its inputs and the fingerprint of all that decides its result."""

    spec: PairSpec
    content_identity: str
    style_identity: str
    fingerprint: str
    attempt: int = 1
    """This will be the pair's n-th attempt with this fingerprint."""
    other_identities: dict[str, str] = field(default_factory=dict)
    """Of the further pictures, by column."""


@dataclass(frozen=True)
class Batch:
    """Pairs of one style and size, done by one task on one device."""

    name: str
    pairs: tuple[PlannedPair, ...]


@dataclass(frozen=True)
class RunPlan:
    """What is left to do, and what is done already."""

    batches: tuple[Batch, ...]
    done: tuple[PlannedPair, ...]
    unselected: tuple[PlannedPair, ...]
    settled: int = 0
    """Of the unselected, those that are left alone as another attempt would only fail again."""

    @property
    def todo(self) -> tuple[PlannedPair, ...]:
        """The pairs of all batches, in the order of the manifest."""
        return tuple(sorted((pair for batch in self.batches for pair in batch.pairs), key=lambda p: p.spec.row))


FOR_GOOD = (BadImage, OptionsError, ShapeError)
"""Errors that follow from what a pair's fingerprint is made of, its pictures and options. Precision, storage, memory, a
process that died, and errors of our own making may be others the next time."""


FOR_GOOD_KINDS = frozenset(error.kind for error in FOR_GOOD)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LossSample(NamedTuple):
    """One evaluation of a pair, as the optimizer saw it; losses to five digits.

    Attributes:
        level: how often the size was halved: 0 is full size.
        step: accepted steps at this level.
        evaluation: 1, 2, ... at this level.
        seconds: since the level began.
    """

    level: int
    step: int
    evaluation: int
    total_loss: float
    content_loss: float
    style_loss: float
    tv_loss: float
    seconds: float


class PairRecord(_Record):
    """The commit of one finished pair. Losses are those of the saved file: decoded, fp32, unbatched."""

    pair_id: str
    fingerprint: str
    run_id: str
    content: str
    style: str
    output: str
    """Where the image is, relative to the output prefix."""
    attempts: int
    total_loss: float
    content_loss: float
    style_loss: float
    tv_loss: float
    initial_total_loss: float
    steps: int
    evaluations: int
    stop_reason: str
    width: int
    height: int
    seconds: float
    """Time on the device: an equal share of that of the pairs stylized at once. Loading and writing go on beside it."""
    device: str
    precision: str
    backbone: str
    weights_sha256: str
    recipe: str
    options_digest: str
    options: StylizeOptions
    seed: int
    content_sha256: str
    style_sha256: str
    output_sha256: str
    started_at: str
    finished_at: str
    engine_version: str
    content_distance: float | None = None
    style_distance: float | None = None
    """The terms of the recipe `relative` at its own layers, of the saved file: one measure for all recipes."""
    quality: str = "standard"
    others: dict[str, str] = {}
    """Further pictures that it was made with, by column."""
    others_sha256: dict[str, str] = {}
    versions: dict[str, str] = {}
    """S3's ids of the versions that were read, by column; of pictures in buckets that keep versions."""
    notes: tuple[str, ...] = ()
    """What the user should know of this result, such as a content image smaller than asked."""
    history: tuple[LossSample, ...] = ()
    """Some dozens of its evaluations."""
    timeline: str = ""
    """Where the moving picture of how it came to be is, relative to the output prefix; empty where none was asked for,
    or it could not be written, which the notes then say."""
    timeline_sha256: str = ""


class AttemptRecord(_Record):
    """One failed attempt at a pair, with its reason."""

    pair_id: str
    fingerprint: str
    run_id: str
    attempt: int
    error_kind: str
    error: str
    retryable: bool
    """False where another attempt would only repeat it: a run then leaves the pair alone, `nst retry` does not."""
    seconds: float
    device: str
    started_at: str
    finished_at: str


def failed_attempt(
    pair: PlannedPair, run_id: str, error: Exception, *, device: str, seconds: float, started_at: str
) -> AttemptRecord:
    """The record of an attempt that ended in an error; one that nobody raised on purpose is `internal`."""
    expected = isinstance(error, NstError)
    return AttemptRecord(
        pair_id=pair.spec.pair_id,
        fingerprint=pair.fingerprint,
        run_id=run_id,
        attempt=pair.attempt,
        error_kind=error.kind if isinstance(error, NstError) else "internal",
        error=str(error) if expected else f"{type(error).__name__}: {error}",
        retryable=not isinstance(error, FOR_GOOD),
        seconds=round(seconds, 3),
        device=device,
        started_at=started_at,
        finished_at=utc_now(),
    )


class RunRecord(_Record):
    """What one run was asked to do: enough to plan it again. Kept beside the manifest, byte for byte."""

    run_id: str
    manifest_uri: str
    manifest_sha256: str
    options: StylizeOptions
    overrides: dict[str, Any] = {}
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
    refused: dict[int, tuple[CellError, ...]] = {}
    """Line -> reasons, of every row that the operator's limits refused when the run was planned."""


class StyleCosts(_Record):
    """What the pairs of one style took."""

    pairs: int = 0
    evaluations: int = 0
    """Passes forward and back, of all sizes."""
    processor_hours: float = 0.0
    """Of the CPU's threads that pairs were on."""
    gpu_hours: float = 0.0


class RunCosts(_Record):
    """What a run took for the pairs that it made itself."""

    pairs_per_hour: float
    evaluations_per_second: float
    evaluations: int
    processor_hours: float
    gpu_hours: float
    by_style: dict[str, StyleCosts]
    """By the name of the style's file, the dearest first."""


class RunSummary(_Record):
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


def short_digest(value: Any, digits: int) -> str:
    """The first hex digits of the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]


def utc_now() -> str:
    """The time in ISO 8601, UTC, to the second, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Moment:
    """When something began.

    Attributes:
        utc: as records hold it.
        clock_seconds: by `time.monotonic`.
    """

    utc: str
    clock_seconds: float

    @classmethod
    def now(cls) -> Self:
        """This very moment."""
        return cls(utc_now(), time.monotonic())

    def seconds_since(self) -> float:
        """How long ago it was."""
        return time.monotonic() - self.clock_seconds
