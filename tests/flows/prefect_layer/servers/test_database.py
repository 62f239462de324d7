"""servers.database: Prefect's database is checked before a server starts; an unusable one is set aside."""

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.environment import _use_as_home
from flows.errors import ServiceError
from flows.prefect_layer.servers.database import FILE, known_revisions, make_usable, trouble_with


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
    """A database of a revision that the installed Prefect knows is not changed."""
    before = _database(ours, next(iter(known_revisions()))).read_bytes()

    make_usable(ours, thoroughly=True)

    assert (ours / FILE).read_bytes() == before


def test_a_missing_or_empty_database_is_no_trouble(ours: Path) -> None:
    """A missing database, or the empty file of a start that was cut short, is left for Prefect to create."""
    assert trouble_with(ours) is None

    (ours / FILE).touch()

    assert trouble_with(ours) is None


def test_a_locked_database_is_no_trouble(ours: Path) -> None:
    """A database that is locked, as by another run's server, counts as usable."""
    with closing(sqlite3.connect(_database(ours, next(iter(known_revisions()))), isolation_level=None)) as database:
        database.execute("begin exclusive")

        assert trouble_with(ours) is None


@pytest.mark.parametrize("thoroughly", [False, True])
def test_an_unusable_database_is_set_aside(ours: Path, caplog: pytest.LogCaptureFixture, thoroughly: bool) -> None:
    """A file that is not a database is renamed in a folder of ours, and the log says to what."""
    (ours / FILE).write_text("no database " * 100)

    with caplog.at_level(logging.WARNING):
        make_usable(ours, thoroughly=thoroughly)

    (aside,) = ours.iterdir()
    assert aside.read_text().startswith("no database")
    assert aside.name in caplog.text
    assert "nothing of a run is lost" in caplog.text


def test_a_journal_is_set_aside_with_its_database(ours: Path) -> None:
    """The journal is renamed with its database, so that a new database does not read it."""
    _database(ours, "ffff00001111")
    (ours / f"{FILE}-wal").touch()

    make_usable(ours)

    database, journal = sorted(path.name for path in ours.iterdir())
    assert journal == f"{database}-wal"


def test_a_database_of_a_newer_prefect_is_recognized(tmp_path: Path) -> None:
    """A revision that the installed Prefect does not know is reported as one of a newer version."""
    _database(tmp_path, "ffff00001111")

    assert "newer version of Prefect (revision ffff00001111)" in (trouble_with(tmp_path) or "")


def test_damaged_pages_are_found_by_a_thorough_check(tmp_path: Path) -> None:
    """Damage behind the first pages is found only by the check that reads every page."""
    file = _database(tmp_path, next(iter(known_revisions())), rows=200)
    data = bytearray(file.read_bytes())
    data[3 * 4096 :] = bytes(len(data) - 3 * 4096)
    file.write_bytes(data)

    assert trouble_with(tmp_path) is None
    assert trouble_with(tmp_path, thoroughly=True) is not None


def test_the_database_in_a_named_home_is_not_moved(tmp_path: Path) -> None:
    """In a folder that the user named nothing is renamed: the error names the file and what to do."""
    (tmp_path / FILE).write_text("no database " * 100)

    with pytest.raises(ServiceError, match=r"prefect\.db: .* file is not a database\. Move it away"):
        make_usable(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_database_without_a_revision_is_used(tmp_path: Path) -> None:
    """A database without a revision, from a start that was cut short, is usable."""
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("create table flow_run (name text)")

    assert trouble_with(tmp_path, thoroughly=True) is None


def test_of_several_revisions_the_unknown_ones_are_named(tmp_path: Path) -> None:
    """Unknown revisions are named in order, and known ones are not."""
    file = _database(tmp_path, next(iter(known_revisions())))
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany("insert into alembic_version values (?)", [("ffff2",), ("ffff1",)])

    assert (trouble_with(tmp_path) or "").endswith("(revision ffff1, ffff2)")


@pytest.mark.parametrize("thoroughly", [False, True])
def test_a_database_needs_rights_to_read_and_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thoroughly: bool
) -> None:
    """A database that may not be read, or not be written, is unusable, because Prefect would fail."""
    _database(tmp_path, next(iter(known_revisions())))
    for missing in (os.R_OK, os.W_OK):
        monkeypatch.setattr(os, "access", lambda _path, asked, missing=missing: not asked & missing)

        assert trouble_with(tmp_path, thoroughly=thoroughly) == "it may not be read and written"


def test_damage_is_reported_in_one_line(tmp_path: Path) -> None:
    """The report has the database's own words, without its heading and line breaks."""
    file = _database(tmp_path, next(iter(known_revisions())), rows=200)
    data = bytearray(file.read_bytes())
    data[-2 * 4096 :] = bytes(2 * 4096)
    file.write_bytes(data)
    trouble = trouble_with(tmp_path, thoroughly=True) or ""

    assert trouble and "\n" not in trouble and not trouble.startswith(("*", "("))


def test_files_that_are_set_aside_have_the_time_in_their_names(ours: Path) -> None:
    """Database, journal and index are renamed with the time in their names."""
    _database(ours, "ffff00001111")
    for ending in ("-wal", "-shm"):
        (ours / f"{FILE}{ending}").touch()

    make_usable(ours)

    names = sorted(path.name for path in ours.iterdir())
    assert re.fullmatch(r"prefect\.db\.set-aside-20\d{6}-\d{6}", names[0])
    assert names[1:] == [f"{names[0]}-shm", f"{names[0]}-wal"]


def test_a_database_that_cannot_be_renamed_is_an_error(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, what is wrong with it, and why it could not be renamed."""

    def refused(_path: Path, _target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    _database(ours, "ffff00001111")
    monkeypatch.setattr(Path, "rename", refused)

    with pytest.raises(ServiceError, match=r"newer version .*cannot be moved \(Permission denied\): remove it"):
        make_usable(ours)
