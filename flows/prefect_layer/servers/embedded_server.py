"""Supervise Prefect's embedded server: restart it if it dies during a run.

- If the server dies during a run, Prefect's client retries for minutes, and then reports the whole run as crashed. So
  the server is restarted, on the same port and database.
- If this process is killed, Prefect cannot stop the server as it does at exit, and each such run would leave a server
  of 200 MB behind. So the server ends by itself, see `kill_on_exit`.
- Ctrl-C reaches the whole process group. If it ended the server first, Prefect would try for minutes to report that the
  run was interrupted. So SIGINT is blocked in the server, see `run_server`.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.errors import ServiceError
from flows.prefect_layer.configured import absolute_home, is_without_server
from flows.prefect_layer.servers.named_server import answers
from flows.prefect_layer.servers.run_server import ServerProcess

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""The time between two checks that the server is alive."""


def begin_server() -> ServerProcess | None:
    """Start the server of a run, before Prefect is imported, and set PREFECT_API_URL to it.

    The caller has to call `wait` on the server that is returned. Returns None, and starts nothing, if the user may have
    configured a server: Prefect then uses that one, or starts one itself, see `prepare_embedded_server`.

    Raises:
        ServiceError: if the server's database cannot be used, or no process can be started.
    """
    if not is_without_server():
        return None
    server = ServerProcess(Path(absolute_home(os.environ["PREFECT_HOME"])))
    server.begin()
    os.environ["PREFECT_API_URL"] = server.url
    _servers.append(server)
    return server


def prepare_embedded_server() -> None:
    """Replace the embedded server that Prefect would start by ours; do nothing if a server is configured.

    Prefect's class keeps one instance per port, and Prefect starts whichever instance exists.
    """
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is not None:
        return
    # Imported late, as it imports the whole server, which takes a second and 75 MB.
    from prefect.server.api.server import SubprocessASGIServer

    class EmbeddedServer(SubprocessASGIServer):
        def start(self, timeout: int | None = None) -> None:  # noqa: ARG002  # Prefect's signature
            with _starting:  # otherwise a second run would use a server that is still starting
                if self.running:
                    return
                settings = get_current_settings()
                server = ServerProcess(settings.home.absolute(), settings.to_environment_variables(exclude_unset=True))
                server.wait()
                self.port, self.server_process, self.running = server.port, server.process, True
                _servers.append(server)

    EmbeddedServer()


@contextmanager
def kept_running() -> Iterator[None]:
    """Restart the embedded server whenever it dies while the block runs; do nothing for a server of the user's own."""
    ended = threading.Event()
    supervisor = threading.Thread(target=_restart_until, args=(ended,), name="server", daemon=True)
    supervisor.start()
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):  # an interruption
            _kill_terminating_servers()
        raise
    finally:
        ended.set()
        supervisor.join()
        _restart_dead_servers()  # Prefect is about to report to it how the run ended


def _restart_until(ended: threading.Event) -> None:
    while not ended.wait(LOOK_SECONDS):
        _restart_dead_servers()


def _kill_terminating_servers() -> None:
    """Kill servers that are alive but do not answer any more, so that they can be restarted at once.

    A SIGTERM to the whole process group, as a service manager sends it, reaches the server too. The server then stops
    answering, but takes seconds to end, and an interrupted run does not have those.
    """
    for server in _servers:
        if server.is_alive() and not answers(server.url):
            server.kill()


def _restart_dead_servers() -> None:
    with _restarting:
        for server in _servers:
            if not server.is_alive():
                _restart(server)


def _restart(server: ServerProcess) -> None:
    code = server.process.returncode if server.process else None
    logger.warning("Prefect's embedded server ended with exit code %s; starting it again", code)
    try:
        server.wait()
    except (OSError, ServiceError) as error:  # the server only shows the run: the pairs go on without it
        logger.warning("Prefect's embedded server could not be started again: %s", error)


_starting, _restarting = threading.Lock(), threading.Lock()
"""Held while a server is started for the first time, or again."""
_servers: list[ServerProcess] = []
"""The embedded servers of this process, one as a rule, which all of its runs share and supervise."""
