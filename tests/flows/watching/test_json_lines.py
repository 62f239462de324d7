"""flows.watching.json_lines: the lines of JSON that programs read about a run."""

import io
import json

from flows.watching.json_lines import json_lines
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken
from tests.flows.builders import attempt_record, pair_record
from tests.flows.run_starts import run_of


def test_the_start_and_every_outcome_are_lines() -> None:
    """The run's start and every outcome are one JSON object per line; chunks and steps are left out."""
    file = io.StringIO()
    on_message = json_lines(file)(run_of(64, 64, 64))
    for message in (
        ChunkStarted(("pair-2",), 1),
        StepTaken("pair-2", 0, 1, 2.0),
        pair_record("pair-2", total_loss=0.5),
        attempt_record("pair-3"),
        LeftPending("pair-4", "no answer"),
    ):
        on_message("cpu", message)
    start, *pairs = map(json.loads, file.getvalue().splitlines())

    assert (start["event"], start["pairs"], start["output"]) == ("run", 3, "/out")
    assert [(one["pair_id"], one["status"]) for one in pairs] == [
        ("pair-2", "succeeded"),
        ("pair-3", "failed"),
        ("pair-4", "pending"),
    ]
    assert (pairs[0]["total_loss"], pairs[1]["error_kind"], pairs[2]["error"]) == (0.5, "bad_image", "no answer")
    assert {one["worker"] for one in pairs} == {"cpu"}


def test_a_stamp_is_added_to_each_line() -> None:
    """A stamp in each line says which run it belongs to, for files that many runs share."""
    file = io.StringIO()
    watch = json_lines(file, lambda run: {"run": run.run_id})
    watch(run_of(64, run_id="one"))("cpu", pair_record("pair-2"))
    watch(run_of(64, run_id="two"))

    assert [json.loads(line)["run"] for line in file.getvalue().splitlines()] == ["one", "one", "two"]
