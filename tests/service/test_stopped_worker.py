"""A worker that is stopped: its run writes the table and is reported, and the same submission continues it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.service.service_tools import Command, ask, wait_for, write_image, write_manifest

pytestmark = pytest.mark.service

PAIRS = [f"pair-{number}" for number in range(60)]
SLOW = ("--backbone", "stub", "--stub", "seconds=1")


def test_a_run_whose_worker_is_stopped_writes_its_table(
    workers: dict[str, subprocess.Popen[bytes]], server: str, nst: Command, folder: Path
) -> None:
    """After SIGTERM to a worker its run writes the table and becomes Crashed before the worker has ended."""
    data, out = folder / "data", folder / "data" / "out"
    for number, name in enumerate(("style", *PAIRS)):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "mine.csv", PAIRS)
    submitted = nst("submit", data / "mine.csv", "--output", out, *SLOW, "--json")
    run_id = json.loads(submitted.stdout)["run_id"]
    wait_for("some pairs are done", lambda: len(list(out.glob("_nst/records/*"))) >= 2, 90)

    workers["nst-gpu"].terminate()
    code = workers["nst-gpu"].wait(60)
    (run,) = ask(server, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    told = json.loads((out / "summary.json").read_text())

    assert (code, run["state"]["name"]) == (0, "Crashed")
    assert 0 < told["succeeded"] < len(PAIRS) == told["succeeded"] + told["pending"]
    assert (out / "results.parquet").exists()
