"""flows.prefect_layer.startup_lock: who waits for a service, for what, and for how long."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.errors import ServiceError
from flows.prefect_layer.startup_lock import starting, wait_while_starting

STARTING = """
import sys, time
from flows.prefect_layer.startup_lock import starting
with starting({folder!r}) as is_up:
    print("starting", flush=True)
    time.sleep(600)
"""


def waited(folder: Path, longest_seconds: float = 20.0) -> list[str]:
    """What was said of the wait."""
    told: list[str] = []
    wait_while_starting(str(folder), told.append, longest_seconds)
    return told


def test_nobody_waits_where_no_service_is_starting(tmp_path: Path) -> None:
    """Neither before the first one, nor for one that is up, nor after its end."""
    assert waited(tmp_path / "service") == []
    with starting(str(tmp_path / "service")) as is_up:
        is_up()
        assert waited(tmp_path / "service") == []
        is_up()
    assert waited(tmp_path / "service") == []


def test_a_service_that_is_starting_is_waited_for(tmp_path: Path) -> None:
    """Until it says that it is up; one sentence says why."""
    with starting(str(tmp_path)) as is_up:
        threading.Timer(0.5, is_up).start()
        began = time.monotonic()
        told = waited(tmp_path)

        assert time.monotonic() - began > 0.4
    assert told == [f"a service is starting in {tmp_path}: waiting for it, 20 s at most"]


def test_a_service_that_was_killed_while_it_started_is_not_waited_for(tmp_path: Path) -> None:
    """Its lock is gone with it."""
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


def test_a_service_that_does_not_come_up_is_given_up(tmp_path: Path) -> None:
    """After the time that was said, and with where to look."""
    with starting(str(tmp_path)), pytest.raises(ServiceError, match=r"not up within 0 s; .*server\.log say why"):
        waited(tmp_path, 0.1)


def test_a_folder_that_cannot_be_written_is_no_reason_to_wait(tmp_path: Path) -> None:
    """The service says itself what it cannot do there."""
    (tmp_path / "service").write_text("in the way")
    with starting(str(tmp_path / "service")):
        assert waited(tmp_path / "service") == []
