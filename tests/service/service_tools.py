"""What the tests of the service start and ask: processes, ports, health."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from real_run import children_of

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "nst:a-password-of-the-test"
Command = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, is_so: Callable[[], object], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.3)


def is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def command(program: list[str], environment: dict[str, str], folder: Path) -> Command:
    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *map(str, arguments)],
            cwd=folder,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_all(process_id: int) -> None:
    """Kill -9 of a process and of all that it has started, as when its machine is gone."""
    for child in children_of(process_id):
        kill_all(child)
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
