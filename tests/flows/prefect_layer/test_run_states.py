"""flows.prefect_layer.deployment_runs: Prefect's run states become ours, with the errors that ended the runs."""

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
def test_our_errors_are_restored(message: str, kind: type[NstError], text: str) -> None:
    """An error of ours that ended a run is restored with its class and message."""
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
def test_other_errors_are_quoted(message: str) -> None:
    """An error that is not ours, or that needs more than a message, becomes an NstError that quotes it."""
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
def test_states_give_the_stage_of_a_run(
    state: State[None] | None, stage: str, is_final: bool, is_success: bool, has_error: bool
) -> None:
    """A run with failed rows is final without being a success, and one that crashed or was cancelled has an error."""
    found = run_state(state)

    assert (found.stage, found.is_final, found.is_complete_success) == (stage, is_final, is_success)
    assert (found.error is not None) == has_error
