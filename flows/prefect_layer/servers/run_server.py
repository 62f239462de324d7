"""The Prefect server of a single run, as a subprocess that starts in the background and is then waited for.

This module does not import prefect: the server takes four seconds to start, and the caller imports prefect in that
time. If Prefect started the server itself, it would import the whole server into this process too, and would retry for
a minute and a half with a server that ends at once.

It differs from the server of `nst serve` (`service_server`): the run's server is uvicorn itself, without pages and
password, on a free port of loopback, in our process group with SIGINT blocked. It may be restarted on its port after it
has died, and a database that keeps it from starting is checked thoroughly and set aside.
"""

import atexit
import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flows.errors import ServiceError
from flows.interpreter import COLLECTS_RARELY
from flows.prefect_layer.servers import blank_database
from flows.prefect_layer.servers.database import make_usable
from flows.prefect_layer.servers.kill_on_exit import ENDS_WITH_ITS_INPUT
from flows.prefect_layer.servers.named_server import answers
from flows.prefect_layer.servers.starting import NO_REASON, SERVER_LOG, named_if_not_started, opened_log, reason_in

ATTEMPTS = 3
"""How often the server is started before that fails; from the second time on its database is checked thoroughly."""
LOOPBACK = "127.0.0.1"
"""The address on which the server listens."""
PORTS = range(20_000, 32_000)
"""The ports to choose from."""
DATABASE_BYTES = 1_000_000
"""About the size of a new database."""
LOOK_SECONDS = 0.05
"""The time between two checks whether a starting server answers."""
_NOT_FOR_THIS_SERVER = ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_API_BASE_PATH")
"""The variables that are left out of its environment: where another server is, and what it asks of its clients."""
_TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
"""Prefect's environment variable for how long its embedded server has to start."""


class ServerProcess:
    """A server process that can be started, waited for, restarted and ended.

    Attributes:
        home: the folder of Prefect's state, an absolute path, as SQLite takes no relative one in a URI.
        port: the port on loopback; chosen at the first start, and kept for later ones, as clients know it.
        process: the running or last process, which ends when its input is closed, as it is at the end of this process;
            None before the first start.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home, self._settings = home, dict(settings or {})
        self.port = 0
        self.process: subprocess.Popen[Any] | None = None
        self._creates_database = self._was_slow = False

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://{LOOPBACK}:{self.port}/api"

    def is_alive(self) -> bool:
        """Return whether the process has been started and has not ended; it may not answer yet."""
        return self.process is not None and self.process.poll() is None

    def begin(self, *, thoroughly: bool = False) -> None:
        """Start the process, and return without waiting for it.

        Args:
            thoroughly: check every page of the database before.

        Raises:
            ServiceError: if its database cannot be used, or the system cannot start a process.
        """
        make_usable(self.home, thoroughly=thoroughly)
        if blank_database.is_wanted(self.home):
            blank_database.install(self.home)
            self._creates_database = blank_database.is_wanted(self.home)
        self.port = self.port or _free_port()
        if self.process is None:
            atexit.register(self.stop)
        program = f"{COLLECTS_RARELY}{ENDS_WITH_ITS_INPUT}from uvicorn import main; main()"
        command = [sys.executable, "-c", program, "--factory", "prefect.server.api.server:create_app"]
        command += ["--app-dir", _packages()]  # by default that is the working folder
        command += ["--host", LOOPBACK, "--port", str(self.port), "--log-level", "error", "--lifespan", "on"]
        with opened_log(self.home / SERVER_LOG) as log, _interrupts_blocked(), named_if_not_started():
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter
                command, env=self._environment(), stdin=subprocess.PIPE, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until the server answers; start it if it is not running, and again if it ends at once.

        Raises:
            ServiceError: if it does not answer in time, after `ATTEMPTS` starts.
        """
        for attempt in range(ATTEMPTS):
            if not self.is_alive():
                self.begin(thoroughly=attempt > 0)
            if self._is_up():
                self._save_database()
                return
        raise ServiceError(
            f"Prefect's embedded server does not start: {self._reason()}. Its output is in "
            f"{self.home / SERVER_LOG}; PREFECT_HOME names another folder for its state, PREFECT_API_URL a server of "
            "yours"
        )

    def _reason(self) -> str:
        """Return why the server does not start: a full disk, which keeps no log of it, what the log says, or time."""
        try:
            with tempfile.TemporaryFile(dir=self.home) as file:
                file.write(bytes(DATABASE_BYTES))
        except OSError as error:
            return f"its folder cannot be written ({error.strerror})"
        reason = reason_in(self.home / SERVER_LOG)
        if not self._was_slow or reason != NO_REASON:
            return reason
        return (
            f"it did not answer within {_seconds_to_start():g} s, as on a machine that is very busy; run the same "
            f"command again later, or set {_TIMEOUT} to more seconds"
        )

    def _save_database(self) -> None:
        """Save a new database as the template for others, before any flow uses the server."""
        if self._creates_database:
            self._creates_database = False
            blank_database.save(self.home)

    def stop(self) -> None:
        """Terminate the process if it is running, and wait for its end; kill it if that takes longer than 5 s."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the process if it is running, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _is_up(self) -> bool:
        """Wait until the server answers; kill it, and return False, if it ends or does not answer in time."""
        ends = time.monotonic() + _seconds_to_start()
        while self.is_alive() and time.monotonic() < ends:
            if answers(self.url):
                return True
            time.sleep(LOOK_SECONDS)
        self._was_slow = self.is_alive()
        self.kill()
        return False

    def _environment(self) -> dict[str, str]:
        """Return the environment of a server without pages, which imports nothing from the working folder.

        That folder may hold a file such as random.py, which would replace Python's own module. Password and path of the
        user's own server are not for this one, as its clients would not get in. Other settings of servers are for it,
        such as the size of parameters, which long lists of pairs may exceed.
        """
        ours = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        given = {"PYTHONSAFEPATH": "1"} | os.environ | self._settings | ours
        return {name: value for name, value in given.items() if name not in _NOT_FOR_THIS_SERVER}


def _seconds_to_start() -> float:
    return float(os.environ.get(_TIMEOUT, "120"))


def _packages() -> str:
    """Return the folder in which the package prefect is installed; an empty string if it is not found."""
    spec = find_spec("prefect")
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _free_port() -> int:
    """Return a free port below the ephemeral range, in which a new connection could take it before the server does.

    Raises:
        ServiceError: if this machine has no loopback interface, or allows no sockets.
    """
    try:
        _check_loopback()
        while _is_taken(port := secrets.choice(PORTS)):
            pass
        return port
    except OSError as error:
        raise ServiceError(
            f"Prefect's server cannot listen on {LOOPBACK} of this machine ({error.strerror}): expected a loopback "
            "interface, as `ip link set lo up` brings up. PREFECT_API_URL names a server of yours"
        ) from error


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
    return False


def _check_loopback() -> None:
    """Raise OSError if nobody on this machine can be reached by loopback; nothing is sent."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect((LOOPBACK, PORTS[0]))


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread: a process started in the block inherits that, and its handler is never called."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows has none
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
