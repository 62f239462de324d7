"""flows.inbox.answers: the status and the estimate in the answers to a manifest."""

import pytest

from flows.inbox.answers import estimated, status_of
from flows.manifest import parse_manifest
from flows.records.runs import RunState
from nst_core.options import StylizeOptions


@pytest.mark.parametrize(
    ("state", "outcome", "expected"),
    [
        (RunState("ended", "Completed"), {"succeeded": 2, "failed": 0, "rejected": 0, "pending": 0}, "succeeded"),
        (RunState("ended", "CompletedWithFailures"), {"failed": 1, "rejected": 0, "pending": 0}, "some rows failed"),
        (RunState("ended", "CompletedWithFailures"), {"failed": 0, "rejected": 1, "pending": 0}, "some rows failed"),
        (RunState("ended", "Completed"), {"failed": 1, "rejected": 0, "pending": 1}, "incomplete"),
        (RunState("ended", "Completed"), {"note": "another manifest has been run since"}, "succeeded"),
        (RunState("failed", "Failed"), {}, "failed"),
        (RunState("cancelled", "Cancelled"), {}, "cancelled"),
    ],
)
def test_the_status_follows_from_the_rows(state: RunState, outcome: dict[str, int], expected: str) -> None:
    """A run that ended has a status by its rows, any other run by its state."""
    assert status_of(state, outcome) == expected


def test_a_stub_backbone_has_no_estimate() -> None:
    """The time that a real network would take says nothing about a stub, so no time is estimated for it."""
    manifest = parse_manifest(b"content,style\ncat.png,waves.png\n", "/in/pairs.csv", StylizeOptions())

    assert list(estimated(manifest, "vgg19")) == ["estimate"]
    assert estimated(manifest, "stub") == {}
