"""deploy/worker.py: a worker that is stopped lets its runs end first. A stand-in for Prefect's worker kills them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[2] / "deploy" / "worker.py"

WORKER = """
import signal, subprocess, sys

def stop(*_):
    run.kill()
    sys.exit(3)

signal.signal(signal.SIGTERM, stop)
while True:  # one run after another
    run = subprocess.Popen([sys.executable, "run.py"])
    run.wait()
"""
RUN = """
import signal, sys, time

def stop(*_):
    time.sleep(0.3)
    open("table", "w").close()
    sys.exit()

open("starts", "a").write("one ")
time.sleep(0.3)  # its imports
signal.signal(signal.SIGTERM, stop)
open("running", "w").close()
while True:
    signal.pause()
"""


@pytest.fixture
def stoppable(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """deploy/worker.py with the stand-in for a worker, whose runs write a file `table` when they are asked to stop."""
    (tmp_path / "stand_in.py").write_text(WORKER)
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, WRAPPER, sys.executable, "stand_in.py"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as process:
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path) -> None:
    ends = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < ends, path.name
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["starts", "running"])
def test_a_run_writes_its_table_before_its_worker_is_stopped(
    stoppable: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    """A run is asked to stop once it handles the signal, and ends; no other run is started; then the worker ends."""
    wait_for(tmp_path / moment)
    stoppable.send_signal(number)

    assert stoppable.wait(60) == 3
    assert (tmp_path / "table").exists()
    assert (tmp_path / "starts").read_text() == "one "


def test_a_run_that_does_not_end_is_left_to_the_worker(tmp_path: Path) -> None:
    """A run that has not ended in its time does not keep the worker from being stopped, which kills it."""
    (tmp_path / "stand_in.py").write_text(WORKER)
    (tmp_path / "run.py").write_text(RUN.replace("sys.exit()", "pass"))
    hurried = f"""
import sys
sys.path.insert(0, {str(WRAPPER.parent)!r})
import worker
worker.RUN_SECONDS = 0.6
sys.exit(worker.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", hurried, sys.executable, "stand_in.py"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as process:
        wait_for(tmp_path / "running")
        process.terminate()

        assert process.wait(60) == 3


def test_a_worker_in_the_background_of_a_script_is_stopped(tmp_path: Path) -> None:
    """A shell starts `worker.py ... &` with SIGINT ignored, with which Prefect's worker stops itself on SIGTERM."""
    (tmp_path / "stand_in.py").write_text("""
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
open("running", "w").close()
time.sleep(60)
raise SystemExit("not interrupted")
""")
    script = f"'{sys.executable}' '{WRAPPER}' '{sys.executable}' stand_in.py & echo $! > id; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], cwd=tmp_path, start_new_session=True) as shell:
        wait_for(tmp_path / "running")
        began = time.monotonic()
        os.kill(int((tmp_path / "id").read_text()), signal.SIGTERM)
        shell.wait(90)

    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("end", "code"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_a_worker_that_ends_by_itself_gives_its_exit_code(end: str, code: int) -> None:
    """The exit code of a worker that ends by itself is passed on; of one that was killed, as a shell would do."""
    outcome = subprocess.run([sys.executable, WRAPPER, sys.executable, "-c", end], timeout=60, check=False)

    assert outcome.returncode == code
