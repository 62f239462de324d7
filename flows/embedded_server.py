"""Prefect's embedded server ends when this process does, also where that is killed.

Prefect stops its server as it exits. A process that is killed cannot: each such run would leave a server of 200 MB.
"""

import os
import subprocess

from prefect.server.api.server import SubprocessASGIServer

_WAIT_AND_KILL = "cat > /dev/null; kill {process_id} 2> /dev/null"
"""A shell that reads from a pipe of ours until that is closed, which the system does however we end."""


def end_server_with_this_process() -> None:
    """Have the embedded server's end seen to; nothing to do where a server of the user's own is used."""
    if os.name != "posix":
        return
    for server in SubprocessASGIServer._instances.values():
        if server.server_process is not None and server.server_process.poll() is None:
            _end_with_this_process(server.server_process.pid)


def _end_with_this_process(process_id: int) -> None:
    # In a session of its own: Ctrl-C, which the whole group gets, must not end it before us.
    watcher = subprocess.Popen(  # noqa: S603  # nothing in it but a number of our own
        ["/bin/sh", "-c", _WAIT_AND_KILL.format(process_id=process_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _watchers.append(watcher)


_watchers: list[subprocess.Popen[bytes]] = []
"""Kept, so that their pipes stay open until the end."""
