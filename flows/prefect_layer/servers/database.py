"""Check quickly whether the installed Prefect can use its SQLite database, and move the file aside if it cannot.

Without this check Prefect would try for a minute and a half, and then report only a timeout.
"""

import contextlib
import logging
import os
import re
import sqlite3
import time
from importlib.util import find_spec
from pathlib import Path

from flows.environment import is_ours
from flows.errors import ServiceError

logger = logging.getLogger(__name__)

FILE = "prefect.db"
"""The name of the database file in Prefect's home folder."""
WAIT_SECONDS = 2.0
"""How long to wait for a lock that another, writing process holds."""

_MIGRATIONS = "server/database/_migrations/versions/sqlite"
"""The folder of Alembic's migrations for SQLite, relative to the package `prefect`."""
_REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)


def trouble_with(home: Path, *, thoroughly: bool = False) -> str | None:
    """Return why the database in Prefect's home folder cannot be used; None if it can, or does not exist yet.

    Args:
        home: Prefect's home folder.
        thoroughly: check every page of the database, which takes a second per 100 MB.
    """
    file = home / FILE
    if not file.exists() or file.stat().st_size == 0:
        return None
    if not os.access(file, os.R_OK | os.W_OK):
        return "it may not be read and written"
    try:
        with contextlib.closing(
            sqlite3.connect(file.as_uri() + "?mode=rw", uri=True, timeout=WAIT_SECONDS)
        ) as database:
            return _trouble(database, thoroughly=thoroughly)
    except sqlite3.OperationalError as error:
        return None if "lock" in str(error) else str(error)  # a database that is in use is fine
    except sqlite3.DatabaseError as error:
        return str(error)


def _trouble(database: sqlite3.Connection, *, thoroughly: bool) -> str | None:
    if thoroughly and (result := database.execute("pragma quick_check(1)").fetchone()) != ("ok",):
        found = str(result[0]) if result else "it cannot be read"
        return " ".join(found.removeprefix("*** in database main ***").split())
    if not database.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone():
        return None
    used = {revision for (revision,) in database.execute("select version_num from alembic_version")}
    unknown = used - known_revisions()
    if unknown:
        return f"it was last used by another, newer version of Prefect (revision {', '.join(sorted(unknown))})"
    return None


def known_revisions() -> set[str]:
    """Return the schema revisions that the installed Prefect can migrate from.

    They are read from its source files: importing Prefect would take seconds.
    """
    spec = find_spec("prefect")
    if spec is None or spec.origin is None:
        return set()
    files = (Path(spec.origin).parent / _MIGRATIONS).glob("*.py")
    return {name for file in files for name in _REVISION.findall(file.read_text(encoding="utf-8"))}


def make_usable(home: Path, *, thoroughly: bool = False) -> None:
    """Rename a database that cannot be used, if we chose its folder ourselves, so that Prefect creates a new one.

    Nothing is lost, as the records of a run are in its output.

    Raises:
        ServiceError: if the user chose the folder, or the file cannot be renamed.
    """
    trouble = trouble_with(home, thoroughly=thoroughly)
    if trouble is None:
        return
    named = f"{home / FILE}: Prefect's database cannot be used: {trouble}"
    if not is_ours(home):
        raise ServiceError(f"{named}. Move it away for a new one to be made: what runs have done is in their outputs")
    try:
        aside = _set_aside(home)
    except OSError as error:
        raise ServiceError(f"{named}, and it cannot be moved ({error.strerror}): remove it") from error
    logger.warning("%s. It is now %s, and a new one is made; nothing of a run is lost", named, aside.name)


def _set_aside(home: Path) -> Path:
    aside = home / f"{FILE}.set-aside-{time.strftime('%Y%m%d-%H%M%S')}"
    for ending in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            (home / f"{FILE}{ending}").rename(f"{aside}{ending}")
    return (home / FILE).rename(aside)
