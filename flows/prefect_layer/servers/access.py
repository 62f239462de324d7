"""How to reach the server of `nst serve`: URL and password, in runs/_service/access.json, for its owner alone.

`nst submit`, started in the same working directory, reads them there.
"""

import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.errors import ServiceError

FOLDER = "runs/_service"
"""The folder of the service's state, relative to the working directory."""


@dataclass(frozen=True)
class Access:
    """How to reach a server.

    Attributes:
        url: the address of its API.
        auth: its user and password, as `user:password`.
    """

    url: str
    auth: str


def use_server(access: Access) -> None:
    """Have Prefect use this server; to be called before prefect is imported, as it reads its settings only once."""
    os.environ["PREFECT_API_URL"] = access.url
    os.environ["PREFECT_API_AUTH_STRING"] = access.auth
    os.environ.setdefault("PREFECT_UI_URL", pages(access.url))


def pages(url: str) -> str:
    """Return the address of a server's newer UI: the older one does not ask for the password when a link opens it.

    Args:
        url: the address of the server's API.

    >>> pages("http://127.0.0.1:4200/api")
    'http://127.0.0.1:4200/v2'
    """
    return f"{url.removesuffix('/api')}/v2"


def find_access(folder: str = FOLDER) -> Access:
    """Read how to reach the server that `nst serve` started with this folder.

    Raises:
        ServiceError: if no server was started there, or another user started it.
    """
    try:
        _check_owner(_access_file(folder))
        return Access(**json.loads(_access_file(folder).read_bytes()))
    except FileNotFoundError as error:
        raise ServiceError(
            "no Prefect server is named: set PREFECT_API_URL (and PREFECT_API_AUTH_STRING), or start one here with "
            "`nst serve`"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise ServiceError(f"{_access_file(folder)} cannot be used: {error}") from error


def write_access(access: Access, folder: str) -> None:
    """Write how to reach a server, for commands that are started in the same working directory."""
    path = _access_file(folder)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(access), file)
    temporary.replace(path)


def password_for(folder: str) -> str:
    """Return the password from the environment, else that of the last start, else a new one."""
    if configured := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return configured
    with suppress(ServiceError):
        return find_access(folder).auth
    return f"nst:{secrets.token_urlsafe(24)}"


def _access_file(folder: str) -> Path:
    return Path(folder).resolve() / "access.json"


def _check_owner(path: Path) -> None:
    """Refuse an access file of another user.

    Secrets are sent to the server that the file names, and in a shared folder another user could name their own.

    Raises:
        ServiceError: if the file belongs to another user.
    """
    if os.name != "posix" or os.geteuid() == 0:
        return
    owner = path.stat().st_uid
    if owner not in (os.geteuid(), 0, _owner_of_new(path.parent)):
        raise ServiceError(
            f"{path}: expected a file of this user's own service, found one of user {owner}; start `nst serve` in a "
            "folder of your own, or set PREFECT_API_URL and PREFECT_API_AUTH_STRING"
        )


def _owner_of_new(folder: Path) -> int | None:
    """Return who owns files that this process creates in a folder: a network share may give all files to one user."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError:
        return None
