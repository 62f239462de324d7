"""flows.run.begin: start a run with its lease, plan and workers, or take over one that was started for the same
request.
"""

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.errors import NotAllowed, OutputBusy
from flows.output import lease
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord
from flows.records.plans import RunPlan
from flows.run.begin import begun, hand_over, handed_or_begun
from flows.run.dispatch import run_batch
from flows.run.plan import plan_run
from flows.run.request import RunArguments, resolve
from flows.settings import RunSettings, Selection
from tests.flows.builders import Painter


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> RunArguments:
    """Arguments of a run with a manifest of one pair."""
    (tmp_path / "pairs.csv").write_text(f"content,style\n{photo('a.png')},{waves}\n")
    return RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=RunSettings(backbone="stub"))


def test_a_run_that_is_begun_holds_its_output(asked: RunArguments) -> None:
    """The run's plan is stored in its output, and no other run may write there until it ends."""
    with begun(resolve(asked)) as run:
        assert Ledger(asked.output).latest_run() == run.run.record
        with pytest.raises(OutputBusy), lease.held(asked.output):
            pass
    with lease.held(asked.output):
        pass


def test_a_run_has_workers_only_if_pairs_are_left(asked: RunArguments) -> None:
    """The first run has a pool, which does its pair; a second run of the same has none, as no pair is left."""
    with begun(resolve(asked)) as run:
        assert run.pool is not None
        run_batch(run.run.plan.batches[0], run.run.job, run.pool.take(), lambda _message: None)
    with begun(resolve(asked)) as again:
        assert again.pool is None
        assert len(again.run.plan.done) == 1


def test_a_flow_takes_over_the_command_s_run(asked: RunArguments) -> None:
    """A flow with the same arguments and rights uses the run that the command began; a later flow begins its own."""
    with begun(resolve(asked)) as first:
        with hand_over(first):
            with handed_or_begun(dataclasses.replace(asked), strict=False) as run:
                assert run is first
            with (
                pytest.raises(OutputBusy),
                handed_or_begun(dataclasses.replace(asked, selection=Selection(limit=1)), strict=False),
            ):
                pass
            # A flow that no person started may read only what the limits list.
            with pytest.raises(NotAllowed), handed_or_begun(asked, strict=True):
                pass
        with pytest.raises(OutputBusy), handed_or_begun(asked, strict=False):
            pass
    with handed_or_begun(asked, strict=False) as own:
        assert own is not first


def test_a_run_that_is_not_taken_over_is_logged(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """A flow with other arguments begins its own run, and the log says which arguments differ."""
    other = dataclasses.replace(asked, output=f"{asked.output}-2", selection=Selection(limit=1))
    with begun(resolve(asked)) as first, hand_over(first):
        with handed_or_begun(asked, strict=False):
            assert "is not used" not in caplog.text
        with handed_or_begun(other, strict=False) as second:
            assert second.run.job.output == other.output

    (line,) = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert line.startswith(f"the run that was begun for {asked.output} is not used")
    assert line.endswith("other values of: output, selection; a second run begins")


def test_started_workers_end_with_the_run(asked: RunArguments) -> None:
    """A run that ends before its first batch leaves no process behind."""
    settings = RunSettings(device="cpu", cpu_workers=2)  # the real engine, whose workers start early
    before = _children()
    with begun(resolve(dataclasses.replace(asked, settings=settings))):
        assert len(_children() - before) == 1  # one of the two workers, as there is one batch
    assert _children() == before


def _children() -> set[int]:
    """Return the child processes of this one that have not ended."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[0] != "Z" and int(after_name[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def test_taking_over_an_output_stops_the_other_run_s_workers(asked: RunArguments) -> None:
    """A run with `take_over` begins at once; the first run's pool stops as soon as it finds that its lease is lost."""
    assert asked.settings is not None
    taking = dataclasses.replace(asked, settings=asked.settings.model_copy(update={"take_over": True}))
    with begun(resolve(asked)) as first, begun(resolve(taking)) as second:
        with pytest.raises(OutputBusy, match="was taken over by another run"):
            first.hold.check()
        assert first.pool is not None
        assert (first.pool.is_stopped, second.pool is not None and second.pool.is_stopped) == (True, False)
        second.hold.check()


def test_an_output_that_is_taken_over_during_planning_is_left_alone(
    asked: RunArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was suspended while it was planned, until another one had begun and ended, changes nothing of it."""
    assert asked.settings is not None
    taking = dataclasses.replace(asked, settings=asked.settings.model_copy(update={"take_over": True}))
    mark = f"{asked.output}/_SUCCESS"

    def planned_late(*arguments: Any, **options: Any) -> RunPlan:
        monkeypatch.setattr("flows.run.prepare.plan_run", plan_run)
        with begun(resolve(taking)):
            storage.replace(mark, b"of the other run")
        return plan_run(*arguments, **options)

    monkeypatch.setattr("flows.run.prepare.plan_run", planned_late)
    with pytest.raises(OutputBusy, match="was taken over by another run"), begun(resolve(asked)):
        pass

    assert Ledger(asked.output).latest_run().settings["take_over"] is True
    assert storage.read(mark) == b"of the other run"


def test_a_run_writes_nothing_through_a_link_out_of_its_output(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a folder of the output becomes a link to elsewhere after planning, the pair fails and nothing is written
    there.
    """
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}"]\nwrite = ["{tmp_path}/out"]\n')
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))
    (tmp_path / "elsewhere").mkdir()
    ends: list[object] = []
    with begun(resolve(asked)) as run:
        assert run.pool is not None
        (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
        run_batch(run.run.plan.batches[0], run.run.job, run.pool.take(), ends.append)
        with pytest.raises(NotAllowed):  # nor in this process, which writes the tables
            storage.replace(f"{asked.output}/images/cat.png", b"data")

    (failed,) = [end for end in ends if isinstance(end, AttemptRecord)]
    assert failed.error_kind == "not_allowed"
    assert f"images: is, or lies behind, a link to elsewhere; only what lies in {tmp_path}/out may" in failed.error
    assert os.listdir(tmp_path / "elsewhere") == []


def test_an_input_that_becomes_a_link_out_of_the_limits_is_refused(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an input is replaced by a link to a place that the limits exclude, after planning, its pair fails."""
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}"]\nwrite = ["{tmp_path}/out"]\n')
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))
    ends: list[object] = []
    with begun(resolve(asked)) as run, tempfile.TemporaryDirectory() as elsewhere:
        content = Path(run.run.plan.todo[0].spec.content)
        content.rename(f"{elsewhere}/theirs.png")
        content.symlink_to(f"{elsewhere}/theirs.png")
        assert run.pool is not None
        run_batch(run.run.plan.batches[0], run.run.job, run.pool.take(), ends.append)

    (failed,) = [end for end in ends if isinstance(end, AttemptRecord)]
    assert failed.error_kind == "not_allowed"
    assert "may be read here" in failed.error


def test_a_link_in_an_output_is_refused_at_the_start(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the output that is a link from the start is an error that names it, and nothing is written."""
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}"]\nwrite = ["{tmp_path}/out"]\n')
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))
    for name in ("images", "timelines", "_nst"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).symlink_to(tmp_path)
        with pytest.raises(NotAllowed, match=f"{tmp_path}/out/{name}: only what lies in {tmp_path}/out may be written"):
            resolve(asked)
        (tmp_path / "out" / name).unlink()

    assert os.listdir(tmp_path / "out") == []
