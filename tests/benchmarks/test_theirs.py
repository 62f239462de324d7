"""A peer's part of a comparison, with a program that does nothing as the peer."""

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.benchmarks.peer_commands import Peer, Task
from tests.benchmarks.processes import CommandFailed
from tests.benchmarks.report import Row
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, exact_backbone, score
from tests.benchmarks.theirs import SHORT_RUNS, Theirs

LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}


def program(task: Task) -> list[str]:
    """Saves the content as its picture and says how many steps it was asked for."""
    code = (
        f"import shutil; shutil.copy({str(task.pair.content)!r}, {str(task.output)!r});"
        f"open({str(task.output.with_name('ran'))!r}, 'a').write('{task.steps} ')"
    )
    return [sys.executable, "-c", code]


def theirs(folder: Path, *known: Row, timed_here: bool = False) -> tuple[Theirs, Pair]:
    """A peer in a folder, and a pair of pictures."""
    gradient = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    gradient.save(folder / "content.png")
    gradient.rotate(90).save(folder / "style.png")
    earlier = Earlier(known, known if timed_here else ())
    pair = Pair(folder / "content.png", folder / "style.png")
    return Theirs(Peer("idle", "neural-style", program), folder, exact_backbone(), earlier), pair


def steps_run(folder: Path) -> list[int]:
    said = folder / "ran"
    return [int(step) for step in said.read_text().split()] if said.exists() else []


def test_what_is_not_known_is_run_as_a_whole(tmp_path: Path) -> None:
    """The loss is that of the picture which the peer saved, the time that of all its steps."""
    peer, pair = theirs(tmp_path)

    part = peer.part(peer.head("a x b", 32, 500), peer.task(pair, 32, 500))

    assert steps_run(tmp_path) == [500]
    assert part["recipe"] == "neural-style"
    assert part["peer_saved_loss"] == part["initial_loss"] > 0.0  # what it saved is the content
    assert "peer_steps_timed" not in part


def test_a_known_loss_takes_two_short_runs(tmp_path: Path) -> None:
    """They are made once for a pair and size, and the row says that its seconds follow from them."""
    losses = [{"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": steps} | LOSS for steps in (100, 500)]
    peer, pair = theirs(tmp_path, *losses)

    parts = [peer.part(peer.head("a x b", 32, steps), peer.task(pair, 32, steps)) for steps in (100, 500)]

    assert steps_run(tmp_path) == list(SHORT_RUNS)
    assert [part["peer_steps_timed"] for part in parts] == [SHORT_RUNS[1]] * 2
    assert all(part["peer_saved_loss"] == LOSS["peer_saved_loss"] for part in parts)


def test_steps_of_a_pair_all_cost_the_same(tmp_path: Path) -> None:
    """What 40 steps took, and for every further one what one of those between 10 and 40 took."""
    head = {"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": 500}
    peer, pair = theirs(tmp_path, head | LOSS)
    peer.short["a x b", 32] = (2.0, 5.0)

    part = peer.part(head, peer.task(pair, 32, 500))

    assert part["peer_seconds"]["median"] == pytest.approx(5.0 + 460 * 0.1)
    assert steps_run(tmp_path) == []


def test_what_is_known_is_not_run(tmp_path: Path) -> None:
    """Neither for its loss nor, on a machine of the same kind, for its seconds."""
    head = {"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": 500}
    known = LOSS | {"peer_seconds": {"median": 7.0}}
    peer, pair = theirs(tmp_path, head | known, timed_here=True)

    assert peer.part(head, peer.task(pair, 32, 500)) == known
    assert peer.loss(head, peer.task(pair, 32, 500)) == LOSS
    assert steps_run(tmp_path) == []


def test_a_peer_without_a_picture_has_failed(tmp_path: Path) -> None:
    """An exit status of 0 is no picture; one from an earlier run is not taken for it."""
    peer, pair = theirs(tmp_path)
    nothing = Theirs(Peer("idle", "neural-style", lambda _: [sys.executable, "-c", ""]), tmp_path, peer.scorer)
    task = nothing.task(pair, 32, 5)
    task.output.write_bytes(pair.content.read_bytes())

    with pytest.raises(CommandFailed, match="wrote no picture"):
        nothing.loss(nothing.head("a x b", 32, 5), task)


def test_one_run_tells_the_losses_on_its_way(tmp_path: Path) -> None:
    """Each is that of the picture after so many steps: of the content after one, of the style after three.

    Pictures of an earlier run are none of this one's.
    """
    peer, pair = theirs(tmp_path)
    copied = {1: pair.content, 2: pair.content, 3: pair.style}

    def three_steps(task: Task) -> list[str]:
        task.on_the_way.mkdir()
        for steps, picture in copied.items():
            shutil.copy(picture, task.saved_after(steps))
        return program(task)

    one = dataclasses.replace(peer, peer=Peer("idle", "neural-style", three_steps))

    earlier = one.task(pair, 32, 3).on_the_way
    earlier.mkdir()
    (earlier / "4.png").touch()

    after_one, after_three = one.losses((1, 3), peer.task(pair, 32, 3))

    assert steps_run(tmp_path) == [3]
    assert after_one["peer_saved_loss"] == after_one["initial_loss"] == after_three["initial_loss"]
    assert after_three["peer_saved_loss"] == score(pair.style, pair, "neural-style", peer.scorer).total
