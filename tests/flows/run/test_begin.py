"""flows.run.begin: a run under its lease, planned, with its workers; handed over to whoever is asked for the same."""

import dataclasses
import os
import tempfile
from pathlib import Path

import pytest

from flows import storage
from flows.errors import NotAllowed, OutputBusy
from flows.output import lease
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord
from flows.run.begin import begun, hand_over, handed_or_begun
from flows.run.dispatch import run_batch
from flows.run.request import RunArguments, resolve
from flows.settings import RunSettings, Selection
from tests.flows.builders import Painter


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> RunArguments:
    """A manifest of one pair, and where it goes."""
    (tmp_path / "pairs.csv").write_text(f"content,style\n{photo('a.png')},{waves}\n")
    return RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=RunSettings(backbone="stub"))


def test_a_run_that_is_begun_holds_its_output(asked: RunArguments) -> None:
    """Its plan is kept there, and no other run may write there until it ends."""
    with begun(resolve(asked)) as run:
        assert Ledger(asked.output).latest_run() == run.run.record
        with pytest.raises(OutputBusy), lease.held(asked.output):
            pass
    with lease.held(asked.output):
        pass


def test_workers_are_there_as_long_as_something_is_left(asked: RunArguments) -> None:
    """The pair is done by the pool of the run; a second run of the same has no workers, as it needs none."""
    with begun(resolve(asked)) as run:
        assert run.pool is not None
        run_batch(run.run.plan.batches[0], run.run.job, run.pool.take(), lambda _message: None)
    with begun(resolve(asked)) as again:
        assert again.pool is None
        assert len(again.run.plan.done) == 1


def test_what_was_begun_is_taken_over(asked: RunArguments) -> None:
    """The flow finds the command's run, if asked the same with the same rights; afterwards it begins its own."""
    with begun(resolve(asked)) as first:
        with hand_over(first):
            with handed_or_begun(dataclasses.replace(asked), strict=False) as run:
                assert run is first
            with (
                pytest.raises(OutputBusy),
                handed_or_begun(dataclasses.replace(asked, selection=Selection(limit=1)), strict=False),
            ):
                pass
            # What is not started by a person may only read what is listed.
            with pytest.raises(NotAllowed), handed_or_begun(asked, strict=True):
                pass
        with pytest.raises(OutputBusy), handed_or_begun(asked, strict=False):
            pass
    with handed_or_begun(asked, strict=False) as own:
        assert own is not first


def test_a_run_that_is_handed_over_in_vain_is_logged(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """A flow that is called with other values begins a run of its own; the log says which values differ."""
    other = dataclasses.replace(asked, output=f"{asked.output}-2", selection=Selection(limit=1))
    with begun(resolve(asked)) as first, hand_over(first):
        with handed_or_begun(asked, strict=False):
            assert "is not used" not in caplog.text
        with handed_or_begun(other, strict=False) as second:
            assert second.run.job.output == other.output

    (line,) = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert line.startswith(f"the run that was begun for {asked.output} is not used")
    assert line.endswith("other values of: output, selection; a second run begins")


def test_workers_that_were_begun_end_with_the_run(asked: RunArguments) -> None:
    """A run that ends before any batch leaves no process behind."""
    settings = RunSettings(device="cpu", cpu_workers=2)  # with the engine, whose workers start early
    before = _children()
    with begun(resolve(dataclasses.replace(asked, settings=settings))):
        assert len(_children() - before) == 1  # of the two workers, as there is one batch
    assert _children() == before


def _children() -> set[int]:
    """Processes of this one that have not ended."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[0] != "Z" and int(after_name[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def test_who_takes_over_begins_at_once_and_the_other_run_s_workers_stop(asked: RunArguments) -> None:
    """The first run's pool is stopped as soon as it sees that its output is another's; its own lease is let go."""
    assert asked.settings is not None
    taking = dataclasses.replace(asked, settings=asked.settings.model_copy(update={"take_over": True}))
    with begun(resolve(asked)) as first, begun(resolve(taking)) as second:
        with pytest.raises(OutputBusy, match="was taken over by another run"):
            first.hold.check()
        assert first.pool is not None
        assert (first.pool.is_stopped, second.pool is not None and second.pool.is_stopped) == (True, False)
        second.hold.check()


def test_a_run_writes_nothing_behind_a_link_to_elsewhere(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the output that becomes a link once the run is planned fails the pair; elsewhere nothing appears."""
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


def test_an_input_that_becomes_a_link_to_elsewhere_is_not_read(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a picture is replaced by a link once the run is planned, its pair fails by what the limits allow."""
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


def test_a_link_in_an_output_is_refused_before_anything_is_done(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is there from the start ends the run at once, with the folder's name; nothing is written."""
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}"]\nwrite = ["{tmp_path}/out"]\n')
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))
    for name in ("images", "timelines", "_nst"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).symlink_to(tmp_path)
        with pytest.raises(NotAllowed, match=f"{tmp_path}/out/{name}: only what lies in {tmp_path}/out may be written"):
            resolve(asked)
        (tmp_path / "out" / name).unlink()

    assert os.listdir(tmp_path / "out") == []
