"""database: what is told of Prefect's database before a server is started, and what becomes of one of no use."""

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.environment import _use_as_home
from flows.errors import ServiceError
from flows.prefect_layer.database import FILE, known_revisions, make_usable, trouble_with


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that we chose for Prefect's state."""
    monkeypatch.setenv("PREFECT_HOME", "restored afterwards")
    return _use_as_home(tmp_path)


def _database(home: Path, revision: str, rows: int = 0) -> Path:
    with closing(sqlite3.connect(home / FILE)) as database, database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values (?)", (revision,))
        database.execute("create table flow_run (name text)")
        database.executemany("insert into flow_run values (?)", (("x" * 1000,) for _ in range(rows)))
    return home / FILE


def test_a_database_of_this_version_is_used(ours: Path) -> None:
    """A database of a revision that the installed Prefect knows stays, to the last byte."""
    before = _database(ours, next(iter(known_revisions()))).read_bytes()

    make_usable(ours, thoroughly=True)

    assert (ours / FILE).read_bytes() == before


def test_no_database_and_an_empty_one_are_made_by_prefect(ours: Path) -> None:
    """Where there is none, or a start was cut short before its first page, there is nothing to complain of."""
    assert trouble_with(ours) is None

    (ours / FILE).touch()

    assert trouble_with(ours) is None


def test_a_database_that_is_being_written_is_no_trouble(ours: Path) -> None:
    """Another run's server may hold it at the moment."""
    with closing(sqlite3.connect(_database(ours, next(iter(known_revisions()))), isolation_level=None)) as database:
        database.execute("begin exclusive")

        assert trouble_with(ours) is None


@pytest.mark.parametrize("thoroughly", [False, True])
def test_what_cannot_be_used_is_set_aside(ours: Path, caplog: pytest.LogCaptureFixture, thoroughly: bool) -> None:
    """A file that is no database gives way in a folder of ours, and the log says where to."""
    (ours / FILE).write_text("no database " * 100)

    with caplog.at_level(logging.WARNING):
        make_usable(ours, thoroughly=thoroughly)

    (aside,) = ours.iterdir()
    assert aside.read_text().startswith("no database")
    assert aside.name in caplog.text
    assert "nothing of a run is lost" in caplog.text


def test_a_journal_goes_with_its_database(ours: Path) -> None:
    """What had been written to the journal alone is not taken up by the new database."""
    _database(ours, "ffff00001111")
    (ours / f"{FILE}-wal").touch()

    make_usable(ours)

    database, journal = sorted(path.name for path in ours.iterdir())
    assert journal == f"{database}-wal"


def test_a_newer_prefects_database_is_told_by_its_revision(tmp_path: Path) -> None:
    """A revision that the installed Prefect does not have is another version's, and says so."""
    _database(tmp_path, "ffff00001111")

    assert "newer version of Prefect (revision ffff00001111)" in (trouble_with(tmp_path) or "")


def test_broken_pages_are_found_by_a_thorough_look(tmp_path: Path) -> None:
    """What does not show at the first page is found where every page is looked at."""
    file = _database(tmp_path, next(iter(known_revisions())), rows=200)
    data = bytearray(file.read_bytes())
    data[3 * 4096 :] = bytes(len(data) - 3 * 4096)
    file.write_bytes(data)

    assert trouble_with(tmp_path) is None
    assert trouble_with(tmp_path, thoroughly=True) is not None


def test_a_users_own_database_is_left_to_them(tmp_path: Path) -> None:
    """In a folder that the user named nothing is moved: the error names the file and the way out."""
    (tmp_path / FILE).write_text("no database " * 100)

    with pytest.raises(ServiceError, match=r"prefect\.db: .* file is not a database\. Move it away"):
        make_usable(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_database_that_has_no_revision_yet_is_used(tmp_path: Path) -> None:
    """A start that was cut short after its first page is gone on with."""
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("create table flow_run (name text)")

    assert trouble_with(tmp_path, thoroughly=True) is None


def test_of_several_revisions_the_unknown_ones_are_named(tmp_path: Path) -> None:
    """In order, and none that the installed Prefect knows."""
    file = _database(tmp_path, next(iter(known_revisions())))
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany("insert into alembic_version values (?)", [("ffff2",), ("ffff1",)])

    assert (trouble_with(tmp_path) or "").endswith("(revision ffff1, ffff2)")


@pytest.mark.parametrize("thoroughly", [False, True])
def test_a_database_that_may_not_be_written_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thoroughly: bool
) -> None:
    """Prefect would fail at its first word; either right is needed."""
    _database(tmp_path, next(iter(known_revisions())))
    for missing in (os.R_OK, os.W_OK):
        monkeypatch.setattr(os, "access", lambda _path, asked, missing=missing: not asked & missing)

        assert trouble_with(tmp_path, thoroughly=thoroughly) == "it may not be read and written"


def test_what_is_broken_is_told_in_one_line(tmp_path: Path) -> None:
    """As the database says it, without its own heading."""
    file = _database(tmp_path, next(iter(known_revisions())), rows=200)
    data = bytearray(file.read_bytes())
    data[-2 * 4096 :] = bytes(2 * 4096)
    file.write_bytes(data)
    trouble = trouble_with(tmp_path, thoroughly=True) or ""

    assert trouble and "\n" not in trouble and not trouble.startswith(("*", "("))


def test_all_that_belongs_to_it_goes_aside_with_the_time(ours: Path) -> None:
    """Journal and index too; the names say when."""
    _database(ours, "ffff00001111")
    for ending in ("-wal", "-shm"):
        (ours / f"{FILE}{ending}").touch()

    make_usable(ours)

    names = sorted(path.name for path in ours.iterdir())
    assert re.fullmatch(r"prefect\.db\.set-aside-20\d{6}-\d{6}", names[0])
    assert names[1:] == [f"{names[0]}-shm", f"{names[0]}-wal"]


def test_a_database_that_cannot_be_moved_is_the_users_to_remove(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, what is wrong with it, and why it stays."""

    def refused(_path: Path, _target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    _database(ours, "ffff00001111")
    monkeypatch.setattr(Path, "rename", refused)

    with pytest.raises(ServiceError, match=r"newer version .*cannot be moved \(Permission denied\): remove it"):
        make_usable(ours)
