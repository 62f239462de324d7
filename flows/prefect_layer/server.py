"""The Prefect server of `nst serve`: on loopback by default, with a password that only its owner can read.

    runs/_service/              Prefect's state
    runs/_service/access.json   URL and password, for `nst submit` from the same folder

This module does not import prefect, which reads its settings when it is imported: they are set here, before that.

It differs from the server of a single run (`server_process`): the service's server is started by Prefect's own command,
with pages and a password, on a port that the user chose, in a session of its own, so that Ctrl-C does not reach it. It
is not restarted, and has longer to start and to stop.
"""

import http.client
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from flows.environment import PRIVATE, check_database_folder
from flows.errors import OutputError, ServiceError
from flows.prefect_layer.database import make_usable
from flows.prefect_layer.kill_on_exit import dismiss, watcher_of
from flows.wording import redacted

FOLDER = "runs/_service"
"""The folder of the service's state, relative to the working directory."""
START_SECONDS = 180.0
"""How long the server has to start: the first start migrates a new database."""
STOP_SECONDS = 15.0
"""How long the server has to end before it is killed."""
CONNECT_SECONDS = 10.0
"""How long a server that the user names has to answer."""
SERVER_LOG = "server.log"
"""The name of the file, in Prefect's home folder, for the server's output."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        # Runs of deployments with a concurrency limit hold their slot by a lease. Leases in memory would be lost with
        # the server, and the slots of runs that died meanwhile would stay taken: no such run would ever start again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Which signs of life are due is kept for a week, so that an outage does not make the server forget a dead run.
        "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": "P7D",
        # Visits come every minute: events are deleted after a week, and runs with their logs 30 days after their end.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "2592000",
    }
)
"""Environment variables of a service's server, with the value that each gets unless it is set already.

deploy/service.env.example has the same ones, for the servers that Prefect's own command starts.
"""

NOT_ANSWERED = (OSError, http.client.HTTPException, ValueError)
"""The errors of a request to which nobody gives an HTTP answer.

They are no connection, an answer of something else, such as an SSH server, and an address that cannot be one.
"""

NO_REASON = "it gives no reason"
_ERROR = re.compile(r"[\w.]*(Error|Exception): ")
"""Matches the last line of a traceback."""


@dataclass(frozen=True)
class Access:
    """How to reach a server.

    Attributes:
        url: the address of its API.
        auth: its user and password, as `user:password`.
    """

    url: str
    auth: str


def use(access: Access) -> None:
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


@contextmanager
def server(host: str, port: int, folder: str = FOLDER) -> Iterator[Access]:
    """Run a Prefect server while the block runs; it ends with this process, even if this process is killed.

    Args:
        host: the address on which the server listens.
        port: the port on which it listens.
        folder: the folder of the service's state.

    Raises:
        OutputError: if the folder cannot be created.
        ServiceError: if the server does not start, its address is in use, or its database cannot be used.
    """
    home = Path(folder).resolve()
    try:
        check_database_folder(home)
        home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{home}: the service's state cannot be kept here ({error.strerror})") from error
    make_usable(home)
    path = os.environ.get("PREFECT_SERVER_API_BASE_PATH", "").strip("/") or "api"
    access = Access(f"http://{_reachable(host)}:{port}/{path}", _password(folder))
    if answers(access.url):
        raise ServiceError(
            f"{access.url}: a server is there already; name it in PREFECT_API_URL, or take another --port"
        )
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_AUTH_STRING": access.auth}
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        environment.pop(name, None)  # these are settings of a client
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
    # Prefect would derive it from its settings, which do not have the port of the command line.
    environment.setdefault("PREFECT_SERVER_UI_API_URL", access.url)
    environment.setdefault("PREFECT_UI_URL", pages(access.url))  # for the links in its notifications
    # By default Prefect writes its pages into its own package, which not every user may do.
    environment.setdefault("PREFECT_SERVER_UI_STATIC_DIRECTORY", str(home / "pages"))
    environment["COLUMNS"] = "1000"  # or it breaks the lines of its log, and `reason_in` takes the last one
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with opened_log(home / SERVER_LOG) as log, named_if_not_started():
        # In a session of its own: Ctrl-C must end the runs first, which still have to report their ends.
        process = subprocess.Popen(  # noqa: S603  # our own interpreter
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    with _ending_with_this_process(process):
        _wait_for(access.url, process, home / SERVER_LOG)
        _write_access(access, folder)
        yield access


@contextmanager
def _ending_with_this_process(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a server with the block, or with this process if that is killed: a server left over would keep the port."""
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


def _password(folder: str) -> str:
    """Return the password from the environment, else that of the last start, else a new one."""
    if configured := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return configured
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
    """Return the host of a URL that reaches a server which listens on this address.

    >>> _reachable("0.0.0.0"), _reachable("::"), _reachable("fd00::7"), _reachable("localhost")
    ('127.0.0.1', '[::1]', '[fd00::7]', 'localhost')
    """
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not listened on
    return f"[{own}]" if ":" in own else own


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise ServiceError(f"the Prefect server ended: {reason_in(log)}. Its output is in {log}")
        if answers(url):
            return
        time.sleep(0.2)
    raise ServiceError(f"the Prefect server did not answer within {START_SECONDS:.0f} s; {log} says why")


def answers(url: str) -> bool:
    """Return whether a server answers the health check of Prefect's API, which needs no password."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310  # an http address that we built ourselves
            return bool(answer.status == 200)
    except NOT_ANSWERED:
        return False


@contextmanager
def named_if_not_started() -> Iterator[None]:
    """Translate the error of a system that cannot start a process into ours.

    Raises:
        ServiceError: if the block raises an OSError; the message has its reason.
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
    """Open a server's log for appending, and yield its descriptor; that of the null device if it cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reason_in(log: Path) -> str:
    """Return why a server has ended: the last error in its log, else the log's last line."""
    with suppress(OSError):
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        lines = [line for line in lines if line]
        errors = [line for line in lines if _ERROR.match(line)]
        return redacted((errors or lines or [NO_REASON])[-1]).rstrip(".")
    return NO_REASON


def check_named_address() -> None:
    """Refuse a PREFECT_API_URL that is the address of a server instead of that of its API.

    Raises:
        ServiceError: if it is; the message names the address.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    # A reverse proxy may have the API at its root, where it then answers.
    if "://" in url and urlsplit(url).path.strip("/") == "" and not _is_api(url.rstrip("/")):
        named = redacted(url)
        raise ServiceError(
            f"{named}: expected the address of Prefect's API, such as {named.rstrip('/')}/api, found one without a "
            "path; set PREFECT_API_URL to it"
        )


def _is_api(url: str) -> bool:
    """Return whether Prefect's API is at an address: pages would answer any request too, but with another body."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS) as answer:  # noqa: S310  # the user's own address
            return bool(answer.read(100).strip() == b"true")
    except NOT_ANSWERED:
        return False


def check_named_server() -> None:
    """Refuse a server in PREFECT_API_URL that does not answer, at once: Prefect would retry before it fails.

    Raises:
        ServiceError: if it does not answer; the message names the address.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url is None:
        return
    check_named_address()
    try:
        urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS).close()  # noqa: S310  # the user's own address
    except urllib.error.HTTPError:
        return  # it answers; the run will report what it refuses
    except NOT_ANSWERED as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # Prefect's client has settings of its own for certificates, and may trust this one
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
