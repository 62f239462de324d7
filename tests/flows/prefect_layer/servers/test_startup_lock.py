"""servers.startup_lock: waiting for a service that is starting."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.errors import ServiceError
from flows.prefect_layer.servers.startup_lock import starting, wait_while_starting

STARTING = """
import sys, time
from flows.prefect_layer.servers.startup_lock import starting
with starting({folder!r}) as is_up:
    print("starting", flush=True)
    time.sleep(600)
"""


def waited(folder: Path, longest_seconds: float = 20.0) -> list[str]:
    """Wait for the service and return what was said about the wait."""
    told: list[str] = []
    wait_while_starting(str(folder), told.append, longest_seconds)
    return told


def test_there_is_no_wait_if_no_service_is_starting(tmp_path: Path) -> None:
    """There is no wait before the first service, for one that runs, or after its end."""
    assert waited(tmp_path / "service") == []
    with starting(str(tmp_path / "service")) as is_up:
        is_up()
        assert waited(tmp_path / "service") == []
        is_up()
    assert waited(tmp_path / "service") == []


def test_a_service_that_is_starting_is_waited_for(tmp_path: Path) -> None:
    """The wait lasts until the service says that it runs; one sentence says what is waited for."""
    with starting(str(tmp_path)) as is_up:
        threading.Timer(0.5, is_up).start()
        began = time.monotonic()
        told = waited(tmp_path)

        assert time.monotonic() - began > 0.4
    assert told == [f"a service is starting in {tmp_path}: waiting for it, 20 s at most"]


def test_a_service_killed_while_starting_is_not_waited_for(tmp_path: Path) -> None:
    """A service that is killed while it starts ends the wait, as its lock is released."""
    serving = subprocess.Popen(
        [sys.executable, "-c", STARTING.format(folder=str(tmp_path))], stdout=subprocess.PIPE, text=True
    )
    assert serving.stdout is not None
    with serving.stdout:
        assert serving.stdout.readline() == "starting\n"
        threading.Timer(0.5, serving.kill).start()

        assert len(waited(tmp_path)) == 1
    assert serving.wait(20) < 0
    assert waited(tmp_path) == []


def test_a_service_that_does_not_start_is_given_up(tmp_path: Path) -> None:
    """After the longest wait the error says where to look for the reason."""
    with starting(str(tmp_path)), pytest.raises(ServiceError, match=r"not up within 0 s; .*server\.log say why"):
        waited(tmp_path, 0.1)


def test_a_folder_that_cannot_be_written_is_no_reason_to_wait(tmp_path: Path) -> None:
    """A folder in which the lock cannot be created is no error and no wait; the service itself reports it."""
    (tmp_path / "service").write_text("in the way")
    with starting(str(tmp_path / "service")):
        assert waited(tmp_path / "service") == []
