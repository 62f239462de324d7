"""Subprocesses that end when this process ends, even if this process is killed itself.

Somebody reads from a pipe that only this process has open for writing. The system closes it when this process ends,
however that happens, and the reader then sees the end of its input. The reader is a thread of the subprocess, if we
choose its program (`ENDS_WITH_ITS_INPUT`); otherwise it is a watcher process, which is started after the subprocess.
"""

import signal
import subprocess
import sys

ENDS_WITH_ITS_INPUT = """\
import os, signal, threading
def end_with_input():
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end_with_input, daemon=True).start()
"""
"""Code with which a program begins that is to end by SIGTERM once our end of its input, a pipe, is closed."""

_WAIT_AND_KILL = """\
import os
while os.read(0, 1):
    pass
try:
    os.kill({process_id}, {signal_number})
except ProcessLookupError:
    pass
"""


def watcher_of(process_id: int) -> subprocess.Popen[bytes]:
    """Start a watcher that sends SIGTERM to a process once our end of the watcher's pipe is closed. POSIX only.

    The caller has to keep the result, as its garbage collection would close the pipe.

    Args:
        process_id: the process to end.

    Raises:
        OSError: if the system cannot start a process.
    """
    program = _WAIT_AND_KILL.format(process_id=process_id, signal_number=int(signal.SIGTERM))
    # Python instead of a shell, as images without a shell exist. -I and -S save what the watcher does not need: the
    # user's settings and the search for packages.
    # In a session of its own: Ctrl-C, which the whole process group gets, must not end the watcher before us.
    return subprocess.Popen(  # noqa: S603  # our own interpreter, and two numbers in a constant
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(watcher: subprocess.Popen[bytes]) -> None:
    """End the watcher of a process that has ended, before the system can reuse that process's id."""
    watcher.kill()
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
