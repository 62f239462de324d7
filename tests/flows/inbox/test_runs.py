"""flows.inbox.runs: which error ended a run, told from the words that the API kept."""

import pytest

from flows.errors import ManifestError, NotAllowed, OutputBusy
from flows.inbox.runs import RunState, error_of
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
    error = error_of(RunState("failed", "Failed", message))

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
    error = error_of(RunState("failed", "Crashed", message))

    assert type(error) is NstError
    assert message in str(error)
    assert "Crashed" in str(error)


@pytest.mark.parametrize(
    ("state", "is_final", "is_success"),
    [
        (RunState("waiting", "Scheduled"), False, False),
        (RunState("running", "Running"), False, False),
        (RunState("ended", "Completed"), True, True),
        (RunState("ended", "CompletedWithFailures"), True, False),
        (RunState("failed", "Crashed"), True, False),
        (RunState("cancelled", "Cancelled"), True, False),
    ],
)
def test_states_say_where_a_run_is(state: RunState, is_final: bool, is_success: bool) -> None:
    """A run that ended with failed rows is final and no success."""
    assert (state.is_final, state.is_complete_success) == (is_final, is_success)
