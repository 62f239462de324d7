"""A new database for Prefect, as a copy of the first that was made: migrating one from nothing takes it six seconds.

The blank one is kept in the user's cache, as the server left it before it was told of any flow, and never used itself.
All that can go wrong here only costs those seconds.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import tempfile
from pathlib import Path

from flows.environment import PRIVATE, user_folder
from flows.prefect_layer.database import FILE, known_revisions, trouble_with

logger = logging.getLogger(__name__)

ELSEWHERE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
"""Settings by which Prefect's database is not the file in its home."""


def is_wanted(home: Path) -> bool:
    """Whether Prefect would make a new database in this home."""
    return not (home / FILE).exists() and not any(name in os.environ for name in ELSEWHERE)


def lay_out(home: Path) -> None:
    """Put a copy of the blank database into a home that has none, if there is a blank one."""
    with contextlib.suppress(OSError):
        data = _blank().read_bytes()
        home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as folder:
            copy = Path(folder) / FILE
            copy.write_bytes(data)
            if trouble_with(Path(folder), thoroughly=True) is None:
                # A link, as it fails where another process was first: its database may be in use already.
                os.link(copy, home / FILE)


def keep(home: Path) -> None:
    """Keep a copy of a home's database, which a server has just made, as the blank one."""
    blank = _blank()
    try:
        blank.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=blank.parent, prefix=".new-") as folder:
            copy = Path(folder) / FILE
            with (
                contextlib.closing(sqlite3.connect((home / FILE).as_uri() + "?mode=ro", uri=True)) as made,
                contextlib.closing(sqlite3.connect(copy)) as kept,
            ):
                made.backup(kept)
                # What a server makes for itself, such as a key, is for one place alone.
                kept.execute("delete from configuration")
                kept.commit()
            copy.replace(blank)
    except (OSError, sqlite3.Error) as error:
        logger.debug("no blank database is kept: %s", error)


def _blank() -> Path:
    """Of the installed Prefect, told from others by its revisions."""
    revisions = hashlib.sha256(" ".join(sorted(known_revisions())).encode()).hexdigest()[:16]
    return user_folder("XDG_CACHE_HOME", ".cache") / f"prefect-{revisions}.db"
