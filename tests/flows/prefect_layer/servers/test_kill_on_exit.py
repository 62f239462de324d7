"""servers.kill_on_exit: subprocesses that end with this process, by themselves or by a watcher."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.prefect_layer.servers.kill_on_exit import ENDS_WITH_ITS_INPUT, dismiss, watcher_of


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not end on its own."""
    waiting = subprocess.Popen([sys.executable, "-ISc", "import signal; signal.pause()"])
    yield waiting
    waiting.kill()
    waiting.wait()


def test_a_watched_process_ends_with_the_pipe(process: subprocess.Popen[bytes]) -> None:
    """The watcher sends SIGTERM to the process when its pipe is closed, and then ends."""
    watcher = watcher_of(process.pid)
    assert watcher.stdin is not None
    watcher.stdin.close()

    assert process.wait(60) == -signal.SIGTERM
    assert watcher.wait(60) == 0


def test_a_watcher_needs_no_shell(process: subprocess.Popen[bytes]) -> None:
    """The watcher is run by our own interpreter, because there are container images without /bin/sh."""
    watcher = watcher_of(process.pid)
    program = Path(f"/proc/{watcher.pid}/exe").readlink()
    dismiss(watcher)

    assert program == Path(sys.executable).resolve()


def test_a_process_that_has_ended_is_no_error(process: subprocess.Popen[bytes]) -> None:
    """If the process has ended already, the watcher ends without an error."""
    process.kill()
    process.wait()
    watcher = watcher_of(process.pid)
    assert watcher.stdin is not None
    watcher.stdin.close()

    assert watcher.wait(60) == 0


def test_a_dismissed_watcher_leaves_the_process_alone(process: subprocess.Popen[bytes]) -> None:
    """After `dismiss` the watcher has ended, its pipe is closed, and the process still runs."""
    watcher = watcher_of(process.pid)
    dismiss(watcher)

    assert watcher.stdin is not None and watcher.stdin.closed
    assert watcher.returncode == -signal.SIGKILL
    assert process.poll() is None


def test_a_program_ends_with_its_input() -> None:
    """A program that begins with that code goes on while its input is open, and ends by SIGTERM once it is closed."""
    program = f"{ENDS_WITH_ITS_INPUT}print('begun', flush=True); import time; time.sleep(600)"
    command = [sys.executable, "-ISc", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"is read, and means nothing")
        process.stdin.flush()
        assert process.stdout.readline() == b"begun\n"
        assert process.poll() is None
        process.stdin.close()

        assert process.wait(60) == -signal.SIGTERM
