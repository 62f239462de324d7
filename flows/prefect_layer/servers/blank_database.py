"""A template for Prefect's database: copying it saves the six seconds in which Prefect would migrate an empty one.

The template is in the user's cache. It is a copy of the first database that a server created, taken before any flow
used it, and no server ever opens it. Any failure here costs only those seconds.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import tempfile
from pathlib import Path

from flows.environment import PRIVATE, user_folder
from flows.prefect_layer.servers.database import FILE, known_revisions, trouble_with

logger = logging.getLogger(__name__)

ELSEWHERE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
"""Settings that replace the file in Prefect's home folder by another database."""


def is_wanted(home: Path) -> bool:
    """Return whether Prefect would create a new database in this home folder."""
    return not (home / FILE).exists() and not any(name in os.environ for name in ELSEWHERE)


def install(home: Path) -> None:
    """Copy the template, if it exists and is sound, into a home folder that has no database."""
    with contextlib.suppress(OSError):
        data = _blank().read_bytes()
        home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as folder:
            copy = Path(folder) / FILE
            copy.write_bytes(data)
            if trouble_with(Path(folder), thoroughly=True) is None:
                # A hard link, unlike a rename, fails if another process was faster, whose database may be in use.
                os.link(copy, home / FILE)


def save(home: Path) -> None:
    """Save a copy of a home folder's database, which a server has just created, as the template."""
    blank = _blank()
    try:
        blank.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=blank.parent, prefix=".new-") as folder:
            copy = Path(folder) / FILE
            with (
                contextlib.closing(sqlite3.connect((home / FILE).as_uri() + "?mode=ro", uri=True)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
                # What a server generates for itself, such as a key, must not be shared between home folders.
                target.execute("delete from configuration")
                target.commit()
            copy.replace(blank)
    except (OSError, sqlite3.Error) as error:
        logger.debug("no blank database is kept: %s", error)


def _blank() -> Path:
    """Return the path of the installed Prefect's template; the digest of its schema revisions is in the file name."""
    revisions = hashlib.sha256(" ".join(sorted(known_revisions())).encode()).hexdigest()[:16]
    return user_folder("XDG_CACHE_HOME", ".cache") / f"prefect-{revisions}.db"
