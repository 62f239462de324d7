"""A worker that is stopped: its run writes the table and is reported, and the same submission continues it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.real_run import children_of
from tests.service.service_tools import BIN, ROOT, Command, ask, stop, wait_for, write_image, write_manifest

pytestmark = pytest.mark.service

PAIRS = [f"pair-{number}" for number in range(60)]
SLOW = ("--backbone", "stub", "--stub", "seconds=1")


def state(server: str, run_id: str) -> str:
    (run,) = ask(server, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    return str(run["state"]["name"])


def has_grandchildren(process_id: int) -> bool:
    return any(children_of(child) for child in children_of(process_id))


def test_a_run_whose_worker_is_stopped_writes_its_table(
    workers: dict[str, subprocess.Popen[bytes]], server: str, nst: Command, folder: Path, environment: dict[str, str]
) -> None:
    """After SIGTERM to a worker its run writes the table and becomes Crashed before the worker has ended.

    A run that is only starting becomes Crashed too, and does not stay Submitting.
    """
    data, out = folder / "data", folder / "data" / "out"
    for number, name in enumerate(("style", *PAIRS)):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "mine.csv", PAIRS)
    submit = ("submit", data / "mine.csv", "--output", out, *SLOW, "--json")
    run_id = json.loads(nst(*submit).stdout)["run_id"]
    wait_for("some pairs are done", lambda: len(list(out.glob("_nst/records/*"))) >= 2, 90)
    workers["nst-gpu"].terminate()
    code = workers["nst-gpu"].wait(60)
    told = json.loads((out / "summary.json").read_text())

    assert (code, state(server, run_id)) == (0, "Crashed")
    assert 0 < told["succeeded"] < len(PAIRS) == told["succeeded"] + told["pending"]
    assert (out / "results.parquet").exists()

    start = [sys.executable, ROOT / "deploy" / "worker.py", BIN / "prefect", "worker", "start", "--pool", "nst-gpu"]
    with (folder / "again.log").open("w") as log:
        worker = subprocess.Popen(start, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        run_id = json.loads(nst(*submit).stdout)["run_id"]
        wait_for("the process of the run is starting", lambda: has_grandchildren(worker.pid), 60)
        assert state(server, run_id) == "Submitting"
        worker.terminate()
        assert worker.wait(90) == 0
    finally:
        stop(worker)
    assert state(server, run_id) == "Crashed"
