"""servers.blank_database: a new database for Prefect is a copy of the first one that was created."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.prefect_layer.servers import blank_database
from flows.prefect_layer.servers.database import FILE, known_revisions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user, and no database elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in blank_database.ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def made_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def with_database(home: Path, revision: str | None = None) -> Path:
    """Return a home to which a database was added, as a server has just created it."""
    with closing(sqlite3.connect(home / FILE)) as database, database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values (?)", (revision or next(iter(known_revisions())),))
        database.execute("create table configuration (key text, value text)")
        database.execute("insert into configuration values ('ENCRYPTION_KEY', 'of this home')")
    return home


def rows(home: Path, table: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(home / FILE)) as database:
        return list(database.execute(f"select * from {table}"))


def test_a_new_home_gets_a_copy_of_the_first_database(tmp_path: Path) -> None:
    """A new home gets the tables of the first database, but not its keys; the first one keeps them."""
    first, second = with_database(made_folder(tmp_path / "first")), tmp_path / "not there" / "yet"
    blank_database.save(first)
    assert blank_database.is_wanted(second)

    blank_database.install(second)

    assert not blank_database.is_wanted(second)
    assert rows(second, "alembic_version") == rows(first, "alembic_version")
    assert rows(second, "configuration") == []
    assert rows(first, "configuration") == [("ENCRYPTION_KEY", "of this home")]
    assert os.listdir(second) == [FILE]


def test_without_a_saved_database_nothing_is_installed(tmp_path: Path) -> None:
    """If no database was saved, none is installed, and Prefect creates its own."""
    home = made_folder(tmp_path / "home")

    blank_database.install(home)

    assert os.listdir(home) == []


def test_an_existing_database_is_kept(tmp_path: Path) -> None:
    """A database that exists, as another process was first, is not replaced."""
    blank_database.save(with_database(made_folder(tmp_path / "first")))
    home = made_folder(tmp_path / "home")
    (home / FILE).write_bytes(b"another's")

    blank_database.install(home)

    assert (home / FILE).read_bytes() == b"another's"


@pytest.mark.parametrize("spoilt", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_saved_database_is_not_used(tmp_path: Path, cache: Path, spoilt: bytes) -> None:
    """If the saved database is damaged, the new home gets no database, or an empty file that Prefect fills."""
    blank_database.save(with_database(made_folder(tmp_path / "first")))
    (blank,) = cache.rglob("*.db")
    blank.write_bytes(spoilt)
    home = made_folder(tmp_path / "home")

    blank_database.install(home)

    assert not (home / FILE).exists() or (home / FILE).read_bytes() == b""


def test_what_cannot_be_saved_is_no_error(tmp_path: Path, cache: Path) -> None:
    """A cache that cannot be written, a home without a database, and a file that is not a database are ignored."""
    cache.write_text("a file in place of a folder")
    blank_database.save(with_database(made_folder(tmp_path / "first")))
    cache.unlink()

    blank_database.save(made_folder(tmp_path / "empty"))
    other = made_folder(tmp_path / "other")
    (other / FILE).write_bytes(b"no database at all")
    blank_database.save(other)

    assert list(cache.rglob("*.db")) == []
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize("name", blank_database.ELSEWHERE)
def test_a_database_elsewhere_needs_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """If a variable names a database elsewhere, none is wanted in the home."""
    monkeypatch.setenv(name, "postgresql+asyncpg://host/prefect")

    assert not blank_database.is_wanted(tmp_path)
