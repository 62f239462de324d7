"""flows.records.attempts: what a failed attempt says of another one."""

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
def test_only_what_follows_from_pictures_and_options_fails_for_good(error: Exception, retryable: bool) -> None:
    """Those are in the fingerprint: a changed one is another attempt. All else may be otherwise the next time."""
    attempt = failed_attempt(PAIR, "a run", error, device="cpu", seconds=1.0, started_at="2026-01-01T00:00:00+00:00")

    assert attempt.retryable is retryable


def test_an_error_that_nobody_foresaw_says_whose_it_is() -> None:
    """Its type is no word of ours, so it comes with where to look."""
    attempt = failed_attempt(
        PAIR, "r", KeyError("x"), device="cpu", seconds=1.0, started_at="2026-01-01T00:00:00+00:00"
    )

    assert (attempt.error_kind, attempt.error) == (
        "internal",
        "KeyError: 'x' (an error of this program that nobody foresaw; the run's log has the place)",
    )
