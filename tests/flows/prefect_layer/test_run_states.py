"""flows.prefect_layer.deployment_runs: the states of Prefect's runs as our own, with the errors that ended them."""

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, Scheduled

from flows.errors import ManifestError, NotAllowed, OutputBusy
from flows.prefect_layer.deployment_runs import run_state
from nst_core.errors import NstError


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        ("Flow run encountered an exception: ManifestError: no manifest: a: b", ManifestError, "no manifest: a: b"),
        (
            "Flow run encountered an exception: OutputBusy: /out: busy\nsecond line",
            OutputBusy,
            "/out: busy\nsecond line",
        ),
        ("Flow run encountered an exception: flows.errors.NotAllowed: /etc: closed", NotAllowed, "/etc: closed"),
    ],
)
def test_our_own_errors_come_back(message: str, kind: type[NstError], text: str) -> None:
    """An error of ours that ended a run is the same error again, with its own words."""
    error = run_state(Failed(message=message)).error

    assert error is not None
    assert (type(error), *error.args) == (kind, text)


@pytest.mark.parametrize(
    "message",
    [
        "Flow run encountered an exception: ValueError: wrong",
        "Flow run encountered an exception: BadImage: a.png: broken",
        "Flow run process exited with non-zero status code -9.",
        "",
    ],
)
def test_another_end_is_told_in_its_own_words(message: str) -> None:
    """An end that is none of our errors, or that cannot be made of its words alone, is a plain one that quotes it."""
    error = run_state(Crashed(message=message)).error

    assert type(error) is NstError
    assert message in str(error)
    assert "Crashed" in str(error)


@pytest.mark.parametrize(
    ("state", "stage", "is_final", "is_success", "has_error"),
    [
        (None, "waiting", False, False, False),
        (Scheduled(), "waiting", False, False, False),
        (Running(), "running", False, False, False),
        (Completed(), "ended", True, True, False),
        (Completed(name="CompletedWithFailures"), "ended", True, False, False),
        (Crashed(), "failed", True, False, True),
        (Cancelled(), "cancelled", True, False, True),
    ],
)
def test_states_say_where_a_run_is(
    state: State[None] | None, stage: str, is_final: bool, is_success: bool, has_error: bool
) -> None:
    """A run that ended with failed rows is final and no success, and one that did not end well has an error."""
    found = run_state(state)

    assert (found.stage, found.is_final, found.is_complete_success) == (stage, is_final, is_success)
    assert (found.error is not None) == has_error
