"""flows.inbox.arrivals: which files of a folder have arrived completely."""

import os
import time
from pathlib import Path

import pytest

from flows import storage
from flows.inbox.arrivals import OLD_SECONDS, arrived
from tests.flows.inbox_runs import Clock

LONG_AGO = time.time() - 2 * OLD_SECONDS


def old_file(folder: Path, name: str, text: str = "a\n") -> Path:
    path = folder / name
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of flows.inbox.arrivals: it notes the pauses and does not sleep."""
    made = Clock()
    monkeypatch.setattr("flows.inbox.arrivals.time", made)
    return made


def names(folder: Path | str, settle_seconds: float = 30, known: tuple[str, ...] = ()) -> list[str]:
    found = arrived(str(folder), lambda entry: entry.name.endswith(".csv") and entry.name not in known, settle_seconds)
    return [entry.name for entry in found]


def test_old_files_are_taken_without_waiting(tmp_path: Path, clock: Clock) -> None:
    """Old files are taken at once; known files and those with another ending are never taken."""
    for name in ("a.csv", "b.csv", "c.json", "known.csv"):
        old_file(tmp_path, name)

    assert names(tmp_path, known=("known.csv",)) == ["a.csv", "b.csv"]
    assert clock.slept == []


def test_a_young_file_is_listed_twice(tmp_path: Path, clock: Clock) -> None:
    """A file written a moment ago is taken if it is unchanged after the settle time."""
    (tmp_path / "young.csv").write_text("a\n")

    assert names(tmp_path, settle_seconds=10) == ["young.csv"]
    assert clock.slept == [10]


def test_a_growing_file_is_left_for_the_next_visit(tmp_path: Path, clock: Clock) -> None:
    """A file that grows during the settle time is not taken, and does not hold up the others."""
    old_file(tmp_path, "old.csv")
    growing = tmp_path / "growing.csv"
    growing.write_text("a\n")
    clock.meanwhile = lambda: growing.write_text("a\nb\n")

    assert names(tmp_path) == ["old.csv"]


def test_a_growing_file_that_seems_hours_old_is_left_for_the_next_visit(tmp_path: Path, clock: Clock) -> None:
    """If our clock is hours ahead of the file server's, a file that is being written seems hours old: it is listed
    twice all the same.
    """
    hours_ago, growing = time.time() - 3 * 3600, tmp_path / "growing.csv"

    def write(text: str, then: float) -> None:
        growing.write_text(text)
        os.utime(growing, (then, then))

    write("a\n", hours_ago)
    clock.meanwhile = lambda: write("a\nb\n", hours_ago + 10)

    assert names(tmp_path, settle_seconds=10) == []
    assert clock.slept == [10]


def test_a_file_that_appears_while_waiting_is_left_for_the_next_visit(tmp_path: Path, clock: Clock) -> None:
    """Only files of both listings are taken: one that appears in the second may be half written."""
    (tmp_path / "young.csv").write_text("a\n")
    clock.meanwhile = lambda: (tmp_path / "late.csv").write_text("a\n")

    assert names(tmp_path) == ["young.csv"]


def test_a_file_with_a_time_in_the_future_is_listed_twice(tmp_path: Path, clock: Clock) -> None:
    """A file whose clock is ahead is taken after the settle time, neither never nor at once."""
    future = time.time() + 3600
    (tmp_path / "ahead.csv").write_text("a\n")
    os.utime(tmp_path / "ahead.csv", (future, future))

    assert names(tmp_path) == ["ahead.csv"]
    assert len(clock.slept) == 1


def test_an_object_on_s3_is_taken_without_waiting(s3_bucket: str, clock: Clock) -> None:
    """An S3 object is complete from the moment it exists, so there is nothing to wait for."""
    storage.create(f"{s3_bucket}/in/new.csv", b"a\n")

    assert names(f"{s3_bucket}/in") == ["new.csv"]
    assert clock.slept == []


def test_a_missing_folder_is_empty(tmp_path: Path) -> None:
    """An inbox that does not exist yet has no files."""
    assert names(tmp_path / "none") == []
