"""blank_database: a new database for Prefect as a copy of the first that was made."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.prefect_layer import blank_database
from flows.prefect_layer.database import FILE, known_revisions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in blank_database.ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def home_of(folder: Path) -> Path:
    folder.mkdir()
    return folder


def made(home: Path, revision: str | None = None) -> Path:
    """A home whose database a server has just made."""
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


def test_a_new_home_has_a_copy_of_the_first(tmp_path: Path) -> None:
    """With its tables, and without the first one's keys, which it keeps itself."""
    first, second = made(home_of(tmp_path / "first")), tmp_path / "not there" / "yet"
    blank_database.save(first)
    assert blank_database.is_wanted(second)

    blank_database.install(second)

    assert not blank_database.is_wanted(second)
    assert rows(second, "alembic_version") == rows(first, "alembic_version")
    assert rows(second, "configuration") == []
    assert rows(first, "configuration") == [("ENCRYPTION_KEY", "of this home")]
    assert os.listdir(second) == [FILE]


def test_without_a_blank_one_nothing_is_there(tmp_path: Path) -> None:
    """Prefect then makes its own."""
    home = home_of(tmp_path / "home")

    blank_database.install(home)

    assert os.listdir(home) == []


def test_a_database_that_is_there_stays(tmp_path: Path) -> None:
    """Also where another process was first."""
    blank_database.save(made(home_of(tmp_path / "first")))
    home = home_of(tmp_path / "home")
    (home / FILE).write_bytes(b"another's")

    blank_database.install(home)

    assert (home / FILE).read_bytes() == b"another's"


@pytest.mark.parametrize("spoilt", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_blank_one_that_is_spoilt_is_not_used(tmp_path: Path, cache: Path, spoilt: bytes) -> None:
    """An empty one leads to one that Prefect makes; nothing else is laid out."""
    blank_database.save(made(home_of(tmp_path / "first")))
    (blank,) = cache.rglob("*.db")
    blank.write_bytes(spoilt)
    home = home_of(tmp_path / "home")

    blank_database.install(home)

    assert not (home / FILE).exists() or (home / FILE).read_bytes() == b""


def test_what_cannot_be_kept_is_left(tmp_path: Path, cache: Path) -> None:
    """A cache that cannot be written, a home without a database, one that is none of Prefect's."""
    cache.write_text("a file in place of a folder")
    blank_database.save(made(home_of(tmp_path / "first")))
    cache.unlink()

    blank_database.save(home_of(tmp_path / "empty"))
    other = home_of(tmp_path / "other")
    (other / FILE).write_bytes(b"no database at all")
    blank_database.save(other)

    assert list(cache.rglob("*.db")) == []
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize("name", blank_database.ELSEWHERE)
def test_a_database_elsewhere_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Prefect then makes none in its home."""
    monkeypatch.setenv(name, "postgresql+asyncpg://host/prefect")

    assert not blank_database.is_wanted(tmp_path)
