"""Prefect's embedded server: as long as the run needs it, and no longer.

If it dies in the middle, Prefect's client asks in vain for minutes, and then calls the whole run crashed: so it is
started again, on the same port and database. If we are killed, Prefect cannot stop it as it does at exit, and each
such run would leave a server of 200 MB: so its end is seen to by the system. Ctrl-C reaches the whole process group,
and a server that it ends first leaves Prefect asking for minutes how to say that the run was interrupted: so the
server never hears of it.
"""

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.environment import check_database_folder
from flows.errors import ServiceError
from flows.prefect_layer.kill_on_exit import watcher_of
from flows.prefect_layer.server import answers, named_if_not_started
from flows.prefect_layer.server_process import ServerProcess
from flows.storage.addresses import from_here

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

PREFECTS_FILES = {"prefect.toml": b"", ".env": b"PREFECT_", "pyproject.toml": b"[tool.prefect"}
"""Of the working folder, in which Prefect looks for settings; what is in them if there are any."""


def begin_server() -> ServerProcess | None:
    """Start the server of a run now, before Prefect is imported, and have Prefect use it; it is to be awaited.

    None where a server may be named already: Prefect then knows it, or starts one as `prepare_embedded_server` says.

    Raises:
        ServiceError: if its database is of no use to it.
    """
    if not is_without_server():
        return None
    server = ServerProcess(Path(os.environ["PREFECT_HOME"]))
    server.begin()
    os.environ["PREFECT_API_URL"] = server.url
    _look_after(server)
    return server


def is_without_server() -> bool:
    """Whether no server is named in any of the places that Prefect looks at; it is not asked, which takes seconds."""
    home = os.environ.get("PREFECT_HOME")
    if home is None or not {"PREFECT_API_URL", "PREFECT_PROFILE"}.isdisjoint(os.environ):
        return False
    return not (
        os.path.exists(os.path.join(home, "profiles.toml"))
        or any(_holds(file, words) for file, words in PREFECTS_FILES.items())
    )


def check_prefect_home() -> None:
    """Refuse a PREFECT_HOME that this user cannot use: Prefect, which reads it when it is imported, would crash.

    Raises:
        ServiceError: naming the folder.
    """
    home = os.environ.get("PREFECT_HOME")
    if home is None:
        return
    place = from_here(os.path.expanduser(home))
    reads_alone = not is_without_server()
    if not reads_alone:
        try:
            check_database_folder(Path(place))
        except OSError as error:
            raise ServiceError(
                f"PREFECT_HOME={home}: {error.strerror}. Name another one in PREFECT_HOME, or leave it out"
            ) from error
    while not os.path.lexists(place):  # Prefect makes what is missing
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.R_OK | os.X_OK | (0 if reads_alone else os.W_OK)):
        rights = "read" if reads_alone else "read and write"
        found = f"{place}, where it may not" if os.path.isdir(place) else f"{place}, which is none"
        raise ServiceError(
            f"PREFECT_HOME={home}: expected a folder that this user may {rights}, found {found}. Name another one in "
            "PREFECT_HOME, or leave it out"
        )


def is_part_of_a_run() -> bool:
    """Whether this process was started by a flow of Prefect's, such as that of a deployment."""
    return any(name.startswith("PREFECT__RUNTIME") or name == "PREFECT__FLOW_RUN_ID" for name in os.environ)


def _holds(file: str, words: bytes) -> bool:
    try:
        return words in Path(file).read_bytes()
    except OSError:
        return False


def prepare_embedded_server() -> None:
    """Have the embedded server, if Prefect comes to start one, be ours.

    Prefect keeps one instance, and starts whichever is there. Nothing to do for a server that has a name.
    """
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is not None:
        return
    # Here, as it brings the whole server with it, a second and 75 MB.
    from prefect.server.api.server import SubprocessASGIServer

    class EmbeddedServer(SubprocessASGIServer):
        def start(self, timeout: int | None = None) -> None:  # noqa: ARG002  # as Prefect calls it
            with _starting:  # a second run would take one that is just starting for one that answers
                if self.running:
                    return
                settings = get_current_settings()
                server = ServerProcess(settings.home, settings.to_environment_variables(exclude_unset=True))
                server.wait()
                self.port, self.server_process, self.running = server.port, server.process, True
                _look_after(server)

    EmbeddedServer()


@contextmanager
def kept_running() -> Iterator[None]:
    """Look after the embedded server for as long as the block lasts; nothing to do for a server of the user's own."""
    for server in _servers:
        _end_with_this_process(server)
    ended = threading.Event()
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


def _end_those_that_are_ending() -> None:
    """SIGTERM for a whole group, as a service manager sends it, reaches the server too.

    It answers nobody any more, but takes seconds to end, which we do not have.
    """
    for server in _servers:
        if server.is_alive() and not answers(server.url):
            server.kill()


def _revive() -> None:
    with _reviving:
        for server in _servers:
            if not server.is_alive():
                _start_again(server)


def _start_again(server: ServerProcess) -> None:
    code = server.process.returncode if server.process else None
    logger.warning("Prefect's embedded server ended with exit code %s; starting it again", code)
    try:
        server.wait()
        _end_with_this_process(server)
    except (OSError, ServiceError) as error:  # it is for eyes alone: the pairs go on without it
        logger.warning("Prefect's embedded server could not be started again: %s", error)


def _look_after(server: ServerProcess) -> None:
    _servers.append(server)
    _end_with_this_process(server)


def _end_with_this_process(server: ServerProcess) -> None:
    process = server.process
    if os.name == "posix" and process is not None and process.poll() is None and process.pid not in _watchers:
        with named_if_not_started():
            _watchers[process.pid] = watcher_of(process.pid)


_starting, _reviving = threading.Lock(), threading.Lock()
_servers: list[ServerProcess] = []
"""Any number of runs in this process have, and look after, one server."""
_watchers: dict[int, subprocess.Popen[bytes]] = {}
"""By the server's process id. Kept, so that their pipes stay open until the end."""
