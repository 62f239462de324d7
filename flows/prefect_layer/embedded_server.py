"""Prefect's embedded server: as long as the run needs it, and no longer.

If it dies in the middle, Prefect's client asks in vain for minutes, and then calls the whole run crashed: so it is
started again, on the same port and database. If we are killed, Prefect cannot stop it as it does at exit, and each
such run would leave a server of 200 MB: so its end is seen to by the system. Ctrl-C reaches the whole process group,
and a server that it ends first leaves Prefect asking for minutes how to say that the run was interrupted: so the
server never hears of it.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.settings import get_current_settings

from flows.prefect_layer.server import answers

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

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
                super().start(timeout)

        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            os.environ.setdefault("PYTHONSAFEPATH", "1")  # a random.py in the user's folder is not Python's own
            if not hasattr(signal, "pthread_sigmask"):  # Windows has none
                return super()._run_uvicorn_command()
            # A process inherits what is blocked, and may set a handler for it but never hears of it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return super()._run_uvicorn_command()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    EmbeddedServer()


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
