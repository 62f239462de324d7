"""A process of ours that is to end when we do, however we end: killed, too, when nothing of ours runs any more."""

import subprocess

_WAIT_AND_KILL = "cat > /dev/null; kill {process_id} 2> /dev/null"
"""A shell that reads from a pipe of ours until that is closed, which the system does however we end."""


def watcher_of(process_id: int) -> subprocess.Popen[bytes]:
    """Ends a process once our end of its pipe is closed; to be kept as long as that is not to happen. Posix alone."""
    # In a session of its own: Ctrl-C, which the whole group gets, must not end it before us.
    return subprocess.Popen(  # noqa: S603  # nothing in it but a number of our own
        ["/bin/sh", "-c", _WAIT_AND_KILL.format(process_id=process_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(watcher: subprocess.Popen[bytes]) -> None:
    """End a watcher whose process has ended, before another process may have that one's number."""
    watcher.kill()
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
