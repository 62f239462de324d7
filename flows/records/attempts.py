"""The outcome of one attempt at a pair: an image with its losses (PairRecord), or an error (AttemptRecord)."""

from typing import NamedTuple

from pydantic import Field

from flows.records.plans import PlannedPair
from flows.records.record import Record
from flows.records.timestamps import utc_now
from nst_core.errors import BadImage, NstError, OptionsError, ShapeError
from nst_core.options import StylizeOptions

FOR_GOOD = (BadImage, OptionsError, ShapeError)
"""Permanent errors: they follow from the pair's images and options, which are part of its fingerprint, so another
attempt would repeat them. A `BadImage` may be an exception, see its `is_permanent`. Errors of precision, storage or
memory, a dead process and bugs of this program may not happen again."""

FOR_GOOD_KINDS = frozenset(error.kind for error in FOR_GOOD)


class LossSample(NamedTuple):
    """One evaluation of a pair, as the optimizer saw it; losses have five significant digits.

    Attributes:
        level: how often the size was halved: 0 is full size.
        step: the number of accepted steps at this level.
        evaluation: the number of this evaluation at this level, from 1.
        seconds: seconds since the level began.
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
    """The commit of one finished pair. Its losses are measured on the saved file: decoded, in fp32, unbatched."""

    pair_id: str
    fingerprint: str
    run_id: str
    content: str
    style: str
    output: str
    """The image's path, relative to the output prefix."""
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
    """Time on the device: an equal share of the time that the pairs stylized together took. Loading and writing run
    concurrently and do not count."""
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
    """`content_distance` and `style_distance` are the two terms of the recipe `relative` at its default layers,
    measured on the saved file, so that results of all recipes can be compared."""
    quality: str = "standard"
    others: dict[str, str] = Field(default_factory=dict)
    """The addresses of all input images but content and style, by manifest column."""
    others_sha256: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    """S3 version ids of the images that were read, by column; only for images in buckets with versioning."""
    notes: tuple[str, ...] = ()
    """Remarks on this result for the user, such as that the content image is smaller than the requested size."""
    history: tuple[LossSample, ...] = ()
    """A sample of a few dozen of the pair's evaluations."""
    timeline: str = ""
    """The path of the animation of the optimisation, relative to the output prefix; empty if none was requested or if
    it could not be written, in which case `notes` says so."""
    timeline_sha256: str = ""


class AttemptRecord(Record):
    """One failed attempt at a pair, with its error."""

    pair_id: str
    fingerprint: str
    run_id: str
    attempt: int
    error_kind: str
    error: str
    retryable: bool
    """False if another attempt would repeat the error: a run then skips the pair, `nst retry` does not."""
    seconds: float
    device: str
    started_at: str
    finished_at: str


def failed_attempt(
    pair: PlannedPair, run_id: str, error: Exception, *, device: str, seconds: float, started_at: str
) -> AttemptRecord:
    """Return the record of an attempt that ended in an error; the kind of anything but an `NstError` is `internal`."""
    unforeseen = "(an error of this program that nobody foresaw; the run's log has the place)"
    return AttemptRecord(
        pair_id=pair.spec.pair_id,
        fingerprint=pair.fingerprint,
        run_id=run_id,
        attempt=pair.attempt,
        error_kind=error.kind if isinstance(error, NstError) else "internal",
        error=str(error) if isinstance(error, NstError) else f"{type(error).__name__}: {error} {unforeseen}",
        retryable=not _is_permanent(error),
        seconds=round(seconds, 3),
        device=device,
        started_at=started_at,
        finished_at=utc_now(),
    )


def _is_permanent(error: Exception) -> bool:
    return error.is_permanent if isinstance(error, BadImage) else isinstance(error, FOR_GOOD)
