"""theirs: a peer's part of a comparison, with a peer that only copies the content image."""

import dataclasses
import functools
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from nst_core.backbones.backbone import Backbone
from tests.benchmarks.peer_commands import Peer, Task
from tests.benchmarks.processes import CommandFailed
from tests.benchmarks.report import Row
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, exact_backbone, score
from tests.benchmarks.theirs import SHORT_RUNS, Theirs

LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}


@functools.cache
def scorer() -> Backbone:
    """The network that scores, loaded once for all tests."""
    return exact_backbone()


def program(task: Task) -> list[str]:
    """The command of a peer that saves the content as its image and appends its number of steps to a file."""
    code = (
        f"import shutil; shutil.copy({str(task.pair.content)!r}, {str(task.output)!r});"
        f"open({str(task.output.with_name('ran'))!r}, 'a').write('{task.steps} ')"
    )
    return [sys.executable, "-c", code]


def theirs(folder: Path, *known: Row, timed_here: bool = False) -> tuple[Theirs, Pair]:
    """A peer with its earlier results, and a pair of images, in a folder."""
    gradient = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    gradient.save(folder / "content.png")
    gradient.rotate(90).save(folder / "style.png")
    earlier = Earlier(known, known if timed_here else ())
    pair = Pair(folder / "content.png", folder / "style.png")
    return Theirs(Peer("idle", "neural-style", program), folder, scorer(), earlier), pair


def steps_run(folder: Path) -> list[int]:
    said = folder / "ran"
    return [int(step) for step in said.read_text().split()] if said.exists() else []


def test_without_earlier_results_the_peer_runs_all_steps(tmp_path: Path) -> None:
    """Without earlier results the peer runs once with all steps; the loss is that of the image it saved."""
    peer, pair = theirs(tmp_path)

    part = peer.part(peer.head("a x b", 32, 500), peer.task(pair, 32, 500))

    assert steps_run(tmp_path) == [500]
    assert part["recipe"] == "neural-style"
    assert part["peer_saved_loss"] == part["initial_loss"] > 0.0  # it saved the content image
    assert "peer_steps_timed" not in part


def test_a_known_loss_takes_two_short_runs(tmp_path: Path) -> None:
    """With a known loss the time comes from two short runs per pair and size, which the row records."""
    losses = [{"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": steps} | LOSS for steps in (100, 500)]
    peer, pair = theirs(tmp_path, *losses)

    parts = [peer.part(peer.head("a x b", 32, steps), peer.task(pair, 32, steps)) for steps in (100, 500)]

    assert steps_run(tmp_path) == list(SHORT_RUNS)
    assert [part["peer_steps_timed"] for part in parts] == [SHORT_RUNS[1]] * 2
    assert all(part["peer_saved_loss"] == LOSS["peer_saved_loss"] for part in parts)


def test_seconds_are_extrapolated_from_short_runs(tmp_path: Path) -> None:
    """The seconds are those of 40 steps plus, for each further step, the mean of the steps between 10 and 40."""
    head = {"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": 500}
    peer, pair = theirs(tmp_path, head | LOSS)
    peer.short["a x b", 32] = (2.0, 5.0)

    part = peer.part(head, peer.task(pair, 32, 500))

    assert part["peer_seconds"]["median"] == pytest.approx(5.0 + 460 * 0.1)
    assert steps_run(tmp_path) == []


def test_a_peer_with_known_loss_and_seconds_is_not_run(tmp_path: Path) -> None:
    """A peer whose loss, and seconds on the same kind of machine, are known is not run for either of them."""
    head = {"peer": "idle", "pair": "a x b", "size_px": 32, "peer_steps": 500}
    known = LOSS | {"peer_seconds": {"median": 7.0}}
    peer, pair = theirs(tmp_path, head | known, timed_here=True)

    assert peer.part(head, peer.task(pair, 32, 500)) == known
    assert peer.loss(head, peer.task(pair, 32, 500)) == LOSS
    assert steps_run(tmp_path) == []


def test_a_peer_that_saves_no_image_has_failed(tmp_path: Path) -> None:
    """A peer that exits with status 0 without an image has failed, even where an earlier run left an image."""
    peer, pair = theirs(tmp_path)
    nothing = Theirs(Peer("idle", "neural-style", lambda _: [sys.executable, "-c", ""]), tmp_path, peer.scorer)
    task = nothing.task(pair, 32, 5)
    task.output.write_bytes(pair.content.read_bytes())

    with pytest.raises(CommandFailed, match="wrote no picture"):
        nothing.loss(nothing.head("a x b", 32, 5), task)


def test_one_run_gives_the_losses_after_several_numbers_of_steps(tmp_path: Path) -> None:
    """Each loss is that of the intermediate image after its number of steps; here the content, later the style.

    Intermediate images of an earlier run are removed first.
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
