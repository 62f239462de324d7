"""What came of a pair: its picture with its losses, or its error."""

from typing import NamedTuple

from pydantic import Field

from flows.records.plans import PlannedPair
from flows.records.record import Record
from flows.records.timestamps import utc_now
from nst_core.errors import BadImage, NstError, OptionsError, ShapeError
from nst_core.options import StylizeOptions

FOR_GOOD = (BadImage, OptionsError, ShapeError)
"""Errors that follow from what a pair's fingerprint is made of, its pictures and options. Precision, storage, memory, a
process that died, and errors of our own making may be others the next time."""

FOR_GOOD_KINDS = frozenset(error.kind for error in FOR_GOOD)


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


class PairRecord(Record):
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
    others: dict[str, str] = Field(default_factory=dict)
    """Further pictures that it was made with, by column."""
    others_sha256: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    """S3's ids of the versions that were read, by column; of pictures in buckets that keep versions."""
    notes: tuple[str, ...] = ()
    """What the user should know of this result, such as a content image smaller than asked."""
    history: tuple[LossSample, ...] = ()
    """Some dozens of its evaluations."""
    timeline: str = ""
    """Where the moving picture of how it came to be is, relative to the output prefix; empty where none was asked for,
    or it could not be written, which the notes then say."""
    timeline_sha256: str = ""


class AttemptRecord(Record):
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
    unforeseen = "(an error of this program that nobody foresaw; the run's log has the place)"
    return AttemptRecord(
        pair_id=pair.spec.pair_id,
        fingerprint=pair.fingerprint,
        run_id=run_id,
        attempt=pair.attempt,
        error_kind=error.kind if isinstance(error, NstError) else "internal",
        error=str(error) if isinstance(error, NstError) else f"{type(error).__name__}: {error} {unforeseen}",
        retryable=not isinstance(error, FOR_GOOD),
        seconds=round(seconds, 3),
        device=device,
        started_at=started_at,
        finished_at=utc_now(),
    )
