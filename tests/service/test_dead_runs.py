"""A run whose machine is gone: the server notices, and the same submission continues the run."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.service.service_tools import BIN, Command, ask, kill_all, stop, wait_for, write_image, write_manifest

pytestmark = pytest.mark.service

PAIRS = [f"pair-{number}" for number in range(30)]
SLOW = ("--backbone", "stub", "--stub", "seconds=1")


def test_a_run_whose_machine_is_gone_becomes_crashed(
    workers: dict[str, subprocess.Popen[bytes]],
    server: str,
    nst: Command,
    environment: dict[str, str],
    folder: Path,
) -> None:
    """After SIGKILL of a worker and its run the state stays Running for a while, then it becomes Crashed.

    The same submission then does the remaining pairs.
    """
    data, records = folder / "data", folder / "data" / "out" / "_nst" / "records"
    for number, name in enumerate(("style", *PAIRS)):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "mine.csv", PAIRS)
    submitted = nst("submit", data / "mine.csv", "--output", data / "out", *SLOW, "--json")
    run_id = json.loads(submitted.stdout)["run_id"]
    wait_for("some pairs are done", lambda: records.exists() and len(list(records.iterdir())) >= 2, 90)

    kill_all(workers["nst-gpu"].pid)
    done = len(list(records.iterdir()))
    assert _state(server, run_id) == "Running"
    wait_for("the run is called crashed", lambda: _state(server, run_id) == "Crashed", 180)

    again = [BIN / "prefect", "worker", "start", "--pool", "nst-gpu", "--name", "again", "--type", "process"]
    with (folder / "again.log").open("w") as log:
        worker = subprocess.Popen(again, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        resumed = nst("submit", data / "mine.csv", "--output", data / "out", *SLOW, "--wait")
    finally:
        stop(worker)
    assert resumed.returncode == 0, resumed.stderr
    told = json.loads((data / "out" / "summary.json").read_text())
    assert (told["succeeded"], told["done_before"]) == (len(PAIRS), done)


def _state(server: str, run_id: str) -> str:
    (run,) = ask(server, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    return str(run["state"]["name"])
