"""A Prefect server for one machine: started on loopback, with a password that only its owner can read.

    runs/_service/              Prefect's state
    runs/_service/access.json   URL and password, for `nst submit` from the same folder

Prefect is not imported here: it reads its settings when it is, and they are made here.
"""

import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flows.environment import PRIVATE, check_database_folder
from flows.errors import OutputError, ServiceError
from flows.prefect_layer.database import make_usable
from flows.prefect_layer.kill_on_exit import dismiss, watcher_of
from flows.wording import redacted

FOLDER = "runs/_service"
"""Below the working directory."""
START_SECONDS = 180.0
"""The first start migrates a new database."""
STOP_SECONDS = 15.0
CONNECT_SECONDS = 10.0
SERVER_LOG = "server.log"

UNSAID = "it gives no reason"
_ERROR = re.compile(r"[\w.]*(Error|Exception): ")
"""The last line of a traceback."""


@dataclass(frozen=True)
class Access:
    """How to reach a server."""

    url: str
    auth: str


def use(access: Access) -> None:
    """Have Prefect use this server. Before it is imported: it reads its settings once."""
    os.environ["PREFECT_API_URL"] = access.url
    os.environ["PREFECT_API_AUTH_STRING"] = access.auth
    os.environ.setdefault("PREFECT_UI_URL", pages(access.url))


def pages(url: str) -> str:
    """Where a server has its pages: the newer ones, as a link into the older ones asks nobody for the password.

    >>> pages("http://127.0.0.1:4200/api")
    'http://127.0.0.1:4200/v2'
    """
    return f"{url.removesuffix('/api')}/v2"


def find_access(folder: str = FOLDER) -> Access:
    """How to reach the server that was started from this folder.

    Raises:
        ServiceError: if none was, or by another user.
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


@contextmanager
def server(host: str, port: int, folder: str = FOLDER) -> Iterator[Access]:
    """A Prefect server for as long as the block lasts, and no longer than this process.

    Raises:
        ServiceError: if it does not start, or its database is of no use to it.
    """
    home = Path(folder).resolve()
    try:
        check_database_folder(home)
        home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{home}: the service's state cannot be kept here ({error.strerror})") from error
    make_usable(home)
    access = Access(f"http://{_reachable(host)}:{port}/api", _password(folder))
    if answers(access.url):
        raise ServiceError(
            f"{access.url}: a server is there already; name it in PREFECT_API_URL, or take another --port"
        )
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_AUTH_STRING": access.auth}
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        environment.pop(name, None)  # those of a client
    # Prefect makes it of its settings, which know nothing of the port that the command was given.
    environment.setdefault("PREFECT_SERVER_UI_API_URL", access.url)
    environment.setdefault("PREFECT_UI_URL", pages(access.url))  # for links in what it sends
    # By default Prefect puts its pages among its own packages, which not every user may write to.
    environment.setdefault("PREFECT_SERVER_UI_STATIC_DIRECTORY", str(home / "pages"))
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with opened_log(home / SERVER_LOG) as log, named_if_not_started():
        # In a session of its own: Ctrl-C is for the runs first, which still have their ends to report.
        process = subprocess.Popen(  # noqa: S603  # our own interpreter
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    with _ending_with_this_process(process):
        _wait_for(access.url, process, home / SERVER_LOG)
        _write_access(access, folder)
        yield access


@contextmanager
def _ending_with_this_process(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A server that outlived us would keep the port, and the next one would be refused."""
    watcher = None
    try:
        with named_if_not_started():
            watcher = watcher_of(process.pid) if os.name == "posix" else None
        yield
    finally:
        _stop(process)
        if watcher is not None:
            dismiss(watcher)


def _access_file(folder: str) -> Path:
    return Path(folder).resolve() / "access.json"


def _check_owner(path: Path) -> None:
    """Secrets are sent to the server that a file names: nobody is to name one in a folder that others work in."""
    if os.name != "posix" or os.geteuid() == 0:
        return
    owner = path.stat().st_uid
    if owner not in (os.geteuid(), 0, _owner_of_new(path.parent)):
        raise ServiceError(
            f"{path}: expected a file of this user's own service, found one of user {owner}; start `nst serve` in a "
            "folder of your own, or set PREFECT_API_URL and PREFECT_API_AUTH_STRING"
        )


def _owner_of_new(folder: Path) -> int | None:
    """Who owns what this process makes there: a share may give all files to one user."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError:
        return None


def _password(folder: str) -> str:
    """The operator's own, the one of the last start, or a new one."""
    if given := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return given
    with suppress(ServiceError):
        return find_access(folder).auth
    return f"nst:{secrets.token_urlsafe(24)}"


def _write_access(access: Access, folder: str) -> None:
    path = _access_file(folder)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(access), file)
    temporary.replace(path)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  # what was asked for, not chosen here


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise ServiceError(f"the Prefect server ended: {reason_in(log)}. All it said is in {log}")
        if answers(url):
            return
        time.sleep(0.2)
    raise ServiceError(f"the Prefect server did not answer within {START_SECONDS:.0f} s; {log} says why")


def answers(url: str) -> bool:
    """Whether a Prefect server is there; its health is told without a password."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310  # http, and made above
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def named_if_not_started() -> Iterator[None]:
    """A system that starts no process as an error of ours.

    Raises:
        ServiceError: with its reason.
    """
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"no process for the Prefect server could be started ({error}). This machine may be out of memory, "
            "processes or open files"
        ) from error


@contextmanager
def opened_log(path: Path) -> Iterator[int]:
    """A server's log, to be added to; nowhere, where it cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reason_in(log: Path) -> str:
    """Why a server has ended: the last error that its log names, or else what it said last."""
    with suppress(OSError):
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        said = [line for line in lines if line]
        named = [line for line in said if _ERROR.match(line)]
        return redacted((named or said or [UNSAID])[-1])
    return UNSAID


def check_named_address() -> None:
    """Refuse an address in the environment that is that of a server and not of its API.

    Raises:
        ServiceError: naming it.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    # A proxy may have the API at its root: then it answers there.
    if "://" in url and urlsplit(url).path.strip("/") == "" and not _is_api(url.rstrip("/")):
        named = redacted(url)
        raise ServiceError(
            f"{named}: expected the address of Prefect's API, such as {named.rstrip('/')}/api, found one without a "
            "path; set PREFECT_API_URL to it"
        )


def _is_api(url: str) -> bool:
    """Whether Prefect's API is there; a server's pages answer whatever is asked, and say something else."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS) as answer:  # noqa: S310  # the user's own
            return bool(answer.read(100).strip() == b"true")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def check_named_server() -> None:
    """Refuse at once a server that is named in the environment and does not answer; Prefect would try, and then fail.

    Raises:
        ServiceError: naming it.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url is None:
        return
    check_named_address()
    try:
        urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS).close()  # noqa: S310  # the user's own
    except urllib.error.HTTPError:
        return  # it answers; what it has against us is told in the run
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # Prefect's client may have been told of the certificate, by settings of its own
        raise ServiceError(
            f"{redacted(url)}: the Prefect server does not answer ({redacted(str(reason))}). Start it, name another "
            "one in PREFECT_API_URL, or leave that out for a run without one"
        ) from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
