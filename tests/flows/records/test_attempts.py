"""flows.records.attempts: the records of failed attempts, and whether another attempt may succeed."""

import pytest

from flows.errors import CredentialsExpired, Forbidden, InputChanged, NotFound, StorageError, TookTooLong, WorkerDied
from flows.records.attempts import failed_attempt
from flows.records.plans import PlannedPair
from nst_core.errors import BadImage, DivergedError, OptionsError, OutOfMemory
from tests.flows.builders import FINGERPRINT, pair_spec

PAIR = PlannedPair(pair_spec(), "x", "y", FINGERPRINT)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (BadImage("cat.png", "truncated", "expected a whole PNG"), False),
        (BadImage("cat.heic", "missing_decoder", "Install pillow-heif"), True),
        (BadImage("cat.png", "over_limit", "expected at most 5 megapixels"), True),
        (OptionsError("too small for relu5_1"), False),
        (DivergedError("NaN"), True),
        (OutOfMemory("8 GB"), True),
        (NotFound("no file"), True),
        (Forbidden("no rights"), True),
        (CredentialsExpired("token"), True),
        (InputChanged("cat.png"), True),
        (StorageError("no space left"), True),
        (WorkerDied("killed by SIGKILL"), True),
        (TookTooLong("600 s"), True),
        (KeyError("nobody expected this"), True),
    ],
)
def test_only_errors_of_images_and_options_are_not_retryable(error: Exception, retryable: bool) -> None:
    """Images and options are in the fingerprint, so the same attempt would fail again; all other causes may pass.

    So may the refusal of an image for want of a decoder, or by the operator's limits.
    """
    attempt = failed_attempt(PAIR, "a run", error, device="cpu", seconds=1.0, started_at="2026-01-01T00:00:00+00:00")

    assert attempt.retryable is retryable


def test_an_unforeseen_error_is_called_internal() -> None:
    """The message has the error's type, says that it is an error of this program, and refers to the run's log."""
    attempt = failed_attempt(
        PAIR, "r", KeyError("x"), device="cpu", seconds=1.0, started_at="2026-01-01T00:00:00+00:00"
    )

    assert (attempt.error_kind, attempt.error) == (
        "internal",
        "KeyError: 'x' (an error of this program that nobody foresaw; the run's log has the place)",
    )
