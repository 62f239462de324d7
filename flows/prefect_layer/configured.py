"""What the user has configured of Prefect, asked without importing it, as that takes seconds: a server, a home."""

import os
from pathlib import Path

from flows.environment import check_database_folder
from flows.errors import ServiceError
from flows.storage.addresses import from_here

NAMING = {"PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"}
"""The variables that may name a server."""
SETTINGS_FILES = {"prefect.toml": b"", ".env": b"PREFECT_", "pyproject.toml": b"[tool.prefect"}
"""The files in the working folder from which Prefect reads settings, and a text that they contain if they have any."""


def is_without_server() -> bool:
    """Return whether no server is configured in any of the places from which Prefect reads its settings.

    Prefect itself is not asked, as importing it takes seconds.
    """
    home = os.environ.get("PREFECT_HOME")
    if home is None or not NAMING.isdisjoint(os.environ):
        return False
    return not (
        os.path.exists(os.path.join(absolute_home(home), "profiles.toml"))
        or any(_contains(file, text) for file, text in SETTINGS_FILES.items())
    )


def is_part_of_a_run() -> bool:
    """Return whether Prefect started this process for a flow run, such as a run of a deployment."""
    return any(name.startswith("PREFECT__RUNTIME") or name == "PREFECT__FLOW_RUN_ID" for name in os.environ)


def check_prefect_home() -> None:
    """Refuse a PREFECT_HOME that this user cannot use: Prefect, which reads it when it is imported, would crash.

    Raises:
        ServiceError: if it cannot be used; the message names the folder.
    """
    home = os.environ.get("PREFECT_HOME")
    if home is None:
        return
    place = absolute_home(home)
    is_read_only = not is_without_server()
    if not is_read_only:
        try:
            check_database_folder(Path(place))
        except OSError as error:
            raise ServiceError(
                f"PREFECT_HOME={home}: {error.strerror}. Name another one in PREFECT_HOME, or leave it out"
            ) from error
    while not os.path.lexists(place):  # Prefect creates folders that are missing
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.R_OK | os.X_OK | (0 if is_read_only else os.W_OK)):
        rights = "read" if is_read_only else "read and write"
        found = f"{place}, where it may not" if os.path.isdir(place) else f"{place}, which is none"
        raise ServiceError(
            f"PREFECT_HOME={home}: expected a folder that this user may {rights}, found {found}. Name another one in "
            "PREFECT_HOME, or leave it out"
        )


def absolute_home(home: str) -> str:
    """Return a home folder as Prefect understands it: `~` is the user's, and a relative one starts from here."""
    return from_here(os.path.expanduser(home))


def _contains(file: str, text: bytes) -> bool:
    try:
        return text in Path(file).read_bytes()
    except OSError:
        return False
