"""flows.inbox.arrivals: which files of a folder are whole."""

import os
import threading
import time
from pathlib import Path

from flows import storage
from flows.inbox.arrivals import arrived

LONG_AGO = time.time() - 3600


def old_file(folder: Path, name: str, text: str = "a\n") -> Path:
    path = folder / name
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def names(folder: Path | str, settle_seconds: float = 0.2, known: tuple[str, ...] = ()) -> list[str]:
    found = arrived(str(folder), lambda entry: entry.name.endswith(".csv") and entry.name not in known, settle_seconds)
    return [entry.name for entry in found]


def test_a_file_that_nobody_writes_to_has_arrived_at_once(tmp_path: Path) -> None:
    """Old files are taken without waiting; those of another ending and known ones never."""
    for name in ("a.csv", "b.csv", "c.json", "known.csv"):
        old_file(tmp_path, name)
    began = time.monotonic()

    assert names(tmp_path, settle_seconds=30, known=("known.csv",)) == ["a.csv", "b.csv"]
    assert time.monotonic() - began < 5


def test_a_young_file_is_looked_at_twice(tmp_path: Path) -> None:
    """A file written a moment ago is taken if it is the same some time later."""
    (tmp_path / "young.csv").write_text("a\n")
    began = time.monotonic()

    assert names(tmp_path) == ["young.csv"]
    assert time.monotonic() - began >= 0.2


def test_a_file_that_grows_is_left_for_the_next_time(tmp_path: Path) -> None:
    """A file that is being written is not taken, and does not keep the others."""
    old_file(tmp_path, "old.csv")
    growing = tmp_path / "growing.csv"
    growing.write_text("a\n")
    writer = threading.Timer(0.15, lambda: growing.write_text("a\nb\n"))
    writer.start()

    assert names(tmp_path, settle_seconds=0.5) == ["old.csv"]
    writer.join()


def test_a_file_that_comes_while_waiting_is_for_the_next_time(tmp_path: Path) -> None:
    """Only what both looks saw is taken: a file of the second look may be half written."""
    (tmp_path / "young.csv").write_text("a\n")
    writer = threading.Timer(0.15, lambda: (tmp_path / "late.csv").write_text("a\n"))
    writer.start()

    assert names(tmp_path, settle_seconds=0.5) == ["young.csv"]
    writer.join()


def test_a_file_from_the_future_is_looked_at_twice(tmp_path: Path) -> None:
    """A clock that is ahead neither hides a file for ever nor passes it unseen."""
    future = time.time() + 3600
    (tmp_path / "ahead.csv").write_text("a\n")
    os.utime(tmp_path / "ahead.csv", (future, future))

    assert names(tmp_path) == ["ahead.csv"]


def test_an_object_on_s3_is_whole(s3_bucket: str) -> None:
    """On S3 there is nothing to wait for."""
    storage.create(f"{s3_bucket}/in/new.csv", b"a\n")
    began = time.monotonic()

    assert names(f"{s3_bucket}/in", settle_seconds=30) == ["new.csv"]
    assert time.monotonic() - began < 10


def test_no_folder_holds_nothing(tmp_path: Path) -> None:
    """An inbox that was not made yet is empty."""
    assert names(tmp_path / "none") == []
