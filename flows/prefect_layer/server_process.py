"""A Prefect server in a process of its own, for one run: started beside whatever else there is to do, and awaited.

Prefect is not imported here, as its server takes four seconds to start, in which it can be. Left to itself Prefect
goes on for a minute and a half with a server that ends at once, and imports all of it here too.
"""

import atexit
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flows.errors import ServiceError
from flows.interpreter import COLLECTS_RARELY
from flows.prefect_layer import blank_database
from flows.prefect_layer.database import make_usable
from flows.prefect_layer.server import SERVER_LOG, answers, named_if_not_started, opened_log, reason_in

ATTEMPTS = 3
"""At the second its database is looked at thoroughly."""
PORTS = range(20_000, 32_000)
LOOK_SECONDS = 0.05
_TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


class ServerProcess:
    """A server, from its start to its end.

    Attributes:
        home: where Prefect keeps its state.
        port: on loopback; chosen at the first start, and kept, as clients know it.
        process: None before the first start.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home, self._settings = home, dict(settings or {})
        self.port = 0
        self.process: subprocess.Popen[Any] | None = None
        self._makes_database = False

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    def is_alive(self) -> bool:
        """Whether it has been started and has not ended, whether or not it answers."""
        return self.process is not None and self.process.poll() is None

    def begin(self, *, thoroughly: bool = False) -> None:
        """Start it, and come back at once.

        Raises:
            ServiceError: if its database is of no use to it, or the system starts no process.
        """
        make_usable(self.home, thoroughly=thoroughly)
        if blank_database.is_wanted(self.home):
            blank_database.lay_out(self.home)
            self._makes_database = blank_database.is_wanted(self.home)
        self.port = self.port or _free_port()
        if self.process is None:
            atexit.register(self.stop)
        program = f"{COLLECTS_RARELY}from uvicorn import main; main()"
        command = [sys.executable, "-c", program, "--factory", "prefect.server.api.server:create_app"]
        command += ["--app-dir", _packages()]  # which is the working folder else
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error", "--lifespan", "on"]
        with opened_log(self.home / SERVER_LOG) as log, _deaf_to_interruptions(), named_if_not_started():
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until it answers; begin it, if need be, and again where it ends at once.

        Raises:
            ServiceError: if it does not come up.
        """
        for attempt in range(ATTEMPTS):
            if not self.is_alive():
                self.begin(thoroughly=attempt > 0)
            if self._is_up():
                self._keep_database()
                return
        raise ServiceError(
            f"Prefect's embedded server does not start: {reason_in(self.home / SERVER_LOG)}. All it said is in "
            f"{self.home / SERVER_LOG}; PREFECT_HOME names another folder for its state, PREFECT_API_URL a server of "
            "yours"
        )

    def _keep_database(self) -> None:
        """While nobody has told it of anything."""
        if self._makes_database:
            self._makes_database = False
            blank_database.keep(self.home)

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _is_up(self) -> bool:
        """Whether it comes to answer; one that neither does nor ends in time is ended."""
        ends = time.monotonic() + float(os.environ.get(_TIMEOUT, "120"))
        while self.is_alive() and time.monotonic() < ends:
            if answers(self.url):
                return True
            time.sleep(LOOK_SECONDS)
        self.kill()
        return False

    def _environment(self) -> dict[str, str]:
        """Of a server without pages, for which a random.py in the user's folder is not Python's own."""
        ours = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        given = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        return {"PYTHONSAFEPATH": "1"} | given | self._settings | ours


def _packages() -> str:
    spec = find_spec("prefect")
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _free_port() -> int:
    """A port below those that the system gives to connections, one of which could have it before the server does."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
