"""The Prefect server of `nst serve`: on loopback by default, with a password; its state is in runs/_service/.

This module does not import prefect, which reads its settings when it is imported: they are set here, before that.

It differs from the server of a single run (`run_server`): the service's server is started by Prefect's own command,
with pages and a password, on a port that the user chose, in a session of its own, so that Ctrl-C does not reach it. It
is not restarted, and has longer to start and to stop.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from flows.environment import PRIVATE, check_database_folder
from flows.errors import OutputError, ServiceError
from flows.prefect_layer.servers.access import FOLDER, Access, pages, password_for, write_access
from flows.prefect_layer.servers.database import make_usable
from flows.prefect_layer.servers.kill_on_exit import dismiss, watcher_of
from flows.prefect_layer.servers.named_server import answers
from flows.prefect_layer.servers.starting import SERVER_LOG, named_if_not_started, opened_log, reason_in

START_SECONDS = 180.0
"""How long the server has to start: the first start migrates a new database."""
STOP_SECONDS = 15.0
"""How long the server has to end before it is killed."""
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
    access = Access(f"http://{_reachable(host)}:{port}/{path}", password_for(folder))
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
        write_access(access, folder)
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


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
