"""Prefect's embedded server: as long as the run needs it, and no longer.

If it dies in the middle, Prefect's client asks in vain for minutes, and then calls the whole run crashed: so it is
started again, on the same port and database. If we are killed, Prefect cannot stop it as it does at exit, and each
such run would leave a server of 200 MB: so its end is seen to by the system. Ctrl-C reaches the whole process group,
and a server that it ends first leaves Prefect asking for minutes how to say that the run was interrupted: so the
server never hears of it.
"""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import prefect
from prefect.settings import get_current_settings

from flows.errors import ServiceError
from flows.prefect_layer.database import make_usable
from flows.prefect_layer.server import SERVER_LOG, answers, opened_log, reason_in

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
LOOK_OFTEN_SECONDS = 0.1
"""While one is starting."""
ATTEMPTS = 3
"""Another process may have taken the port, and a database may have to be looked at thoroughly."""

_WAIT_AND_KILL = "cat > /dev/null; kill {process_id} 2> /dev/null"
"""A shell that reads from a pipe of ours until that is closed, which the system does however we end."""


def prepare_embedded_server() -> None:
    """Have the embedded server, if Prefect comes to start one, be started once and end by our word alone.

    Prefect keeps one instance, and starts whichever is there. Nothing to do for a server of the user's own.
    """
    if get_current_settings().api.url is not None:
        return
    # Here, as it brings the whole server with it, a second and 75 MB.
    from prefect.server.api.server import SubprocessASGIServer

    class EmbeddedServer(SubprocessASGIServer):
        def start(self, timeout: int | None = None) -> None:
            with _starting:  # a second run would take one that is just starting for one that answers
                if not self.running:
                    _start(self, timeout or get_current_settings().server.ephemeral.startup_timeout_seconds)

    EmbeddedServer()


def _start(server: Any, seconds: float) -> None:
    """Prefect's own start goes on until the time is up with a server that ends at once, and prints why as it is."""
    home = get_current_settings().home
    is_new = server.port is None
    for attempt in range(ATTEMPTS):
        if is_new:  # one that is started again has clients that know its port
            server.port = server.find_available_port()
        make_usable(home, thoroughly=attempt > 0)
        server.server_process = _process(server.port, home / SERVER_LOG)
        if _is_up(server, seconds):
            server.running = True
            atexit.register(server.stop)
            return
    raise ServiceError(
        f"Prefect's embedded server does not start: {reason_in(home / SERVER_LOG)}. All it said is in "
        f"{home / SERVER_LOG}; PREFECT_HOME names another folder for its state, PREFECT_API_URL a server of yours"
    )


def _is_up(server: Any, seconds: float) -> bool:
    """Wait until it answers, or has ended; one that does neither in time is ended."""
    ends = time.monotonic() + seconds
    while server.server_process.poll() is None and time.monotonic() < ends:
        if answers(server.api_url):
            return True
        time.sleep(LOOK_OFTEN_SECONDS)
    server.server_process.kill()
    server.server_process.wait()
    return False


def _process(port: int, log: Path) -> "subprocess.Popen[Any]":
    """Prefect's server alone, without its pages; what it has to say goes to a log."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    ours = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    # A random.py in the user's folder is not Python's own.
    environment = {"PYTHONSAFEPATH": "1"} | os.environ | settings | ours
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--app-dir", str(Path(prefect.__file__).parents[1])]  # which is the working folder else
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    with opened_log(log) as file, _deaf_to_interruptions():
        return subprocess.Popen(  # noqa: S603  # our own interpreter
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )


@contextmanager
def _deaf_to_interruptions() -> Iterator[None]:
    """A process that is started here inherits what is blocked: it may set a handler for it, but never hears of it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows has none
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def kept_running() -> Iterator[None]:
    """Look after the embedded server for as long as the block lasts; nothing to do for a server of the user's own."""
    ended = threading.Event()
    _end_with_this_process()
    keeper = threading.Thread(target=_keep, args=(ended,), name="server", daemon=True)
    keeper.start()
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):  # an interruption
            _end_those_that_are_ending()
        raise
    finally:
        ended.set()
        keeper.join()
        _revive()  # Prefect is about to tell it how the run ended


def _keep(ended: threading.Event) -> None:
    while not ended.wait(LOOK_SECONDS):
        _revive()


def _servers() -> list[Any]:
    """Those that Prefect has started in this process: none where a server of the user's own is used."""
    module = sys.modules.get("prefect.server.api.server")
    return list(module.SubprocessASGIServer._instances.values()) if module else []


def _end_those_that_are_ending() -> None:
    """SIGTERM for a whole group, as a service manager sends it, reaches the server too.

    It answers nobody any more, but takes seconds to end, which we do not have.
    """
    for server in _servers():
        process = server.server_process
        if server.running and process is not None and process.poll() is None and not answers(server.api_url):
            process.kill()
            process.wait()


def _revive() -> None:
    with _reviving:
        _start_those_that_died()


def _start_those_that_died() -> None:
    for server in _servers():
        process = server.server_process
        if not server.running or process is None or process.poll() is None:
            continue
        logger.warning("Prefect's embedded server ended with exit code %s; starting it again", process.returncode)
        server.running = False
        try:
            server.start()
        except Exception as error:  # noqa: BLE001  # it is for eyes alone: the pairs go on without it
            logger.warning("Prefect's embedded server could not be started again: %s", error)
            return
        _end_with_this_process()


def _end_with_this_process() -> None:
    if os.name != "posix":
        return
    for server in _servers():
        process = server.server_process
        if process is not None and process.poll() is None and process.pid not in _watchers:
            _watchers[process.pid] = _watcher(process.pid)


def _watcher(process_id: int) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C, which the whole group gets, must not end it before us.
    return subprocess.Popen(  # noqa: S603  # nothing in it but a number of our own
        ["/bin/sh", "-c", _WAIT_AND_KILL.format(process_id=process_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


_starting, _reviving = threading.Lock(), threading.Lock()
"""Any number of runs in this process have, and look after, one server."""
_watchers: dict[int, subprocess.Popen[bytes]] = {}
"""By the server's process id. Kept, so that their pipes stay open until the end."""
