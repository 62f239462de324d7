"""flows.run.begin: a run under its lease, planned, with its workers; handed over to whoever is asked for the same."""

import dataclasses
import os
from pathlib import Path

import pytest
from builders import Painter

from flows.errors import NotAllowed, OutputBusy
from flows.output import lease
from flows.output.ledger import Ledger
from flows.run.begin import begun, begun_as_asked, handed_over
from flows.run.dispatch import carry_out
from flows.run.request import Asked, resolve
from flows.settings import RunSettings, Selection


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> Asked:
    """A manifest of one pair, and where it goes."""
    (tmp_path / "pairs.csv").write_text(f"content,style\n{photo('a.png')},{waves}\n")
    return Asked(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=RunSettings(backbone="stub"))


def test_a_run_that_is_begun_holds_its_output(asked: Asked) -> None:
    """Its plan is kept there, and no other run may write there until it ends."""
    with begun(resolve(asked)) as run:
        assert Ledger(asked.output).latest_run()[0] == run.run.record
        with pytest.raises(OutputBusy), lease.held(asked.output):
            pass
    with lease.held(asked.output):
        pass


def test_workers_are_there_as_long_as_something_is_left(asked: Asked) -> None:
    """The pair is done by the pool of the run; a second run of the same has no workers, as it needs none."""
    with begun(resolve(asked)) as run:
        assert run.pool is not None
        carry_out(run.run.plan.batches[0], run.run.job, run.pool.take(), lambda _message: None)
    with begun(resolve(asked)) as again:
        assert again.pool is None
        assert len(again.run.plan.done) == 1


def test_what_was_begun_is_taken_over(asked: Asked) -> None:
    """The flow finds the command's run, if asked the same with the same rights; afterwards it begins its own."""
    with begun(resolve(asked)) as first:
        with handed_over(first):
            with begun_as_asked(dataclasses.replace(asked), strict=False) as run:
                assert run is first
            with (
                pytest.raises(OutputBusy),
                begun_as_asked(dataclasses.replace(asked, selection=Selection(limit=1)), strict=False),
            ):
                pass
            # What is not started by a person may only read what is listed.
            with pytest.raises(NotAllowed), begun_as_asked(asked, strict=True):
                pass
        with pytest.raises(OutputBusy), begun_as_asked(asked, strict=False):
            pass
    with begun_as_asked(asked, strict=False) as own:
        assert own is not first


def test_workers_that_were_begun_end_with_the_run(asked: Asked) -> None:
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
