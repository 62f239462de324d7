"""`nst serve`: server, schedules and runs of one machine from one command."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from service_tools import Command, free_port, is_healthy, wait_for
from test_workers import picture, write_manifest

pytestmark = pytest.mark.service


def test_one_command_serves_a_machine(nst: Command, environment: dict[str, str], folder: Path) -> None:
    """`nst serve` starts a server with a password, runs what `nst submit` hands in, and ends with all it started."""
    data, port = folder / "data", free_port()
    for number, name in enumerate(("style", "a")):
        picture(data / f"{name}.png", number)
    write_manifest(data / "mine.csv", ["a"])
    with (folder / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for("all are served", lambda: "inbox/inbox" in (folder / "serve.log").read_text(), 90)
        submitted = nst("submit", data / "mine.csv", "--output", data / "mine", "--precision", "fp32", "--wait")
        access = folder / "runs" / "_service" / "access.json"

        assert submitted.returncode == 0, submitted.stderr
        assert stat.S_IMODE(access.stat().st_mode) == 0o600
        assert json.loads(access.read_text())["url"] == f"http://127.0.0.1:{port}/api"
    finally:
        serving.terminate()
        code = serving.wait(40)
    assert code == 0
    assert not is_healthy(f"http://127.0.0.1:{port}/api")


def test_a_service_without_limits_is_not_started(nst: Command) -> None:
    """Nothing is served that could read nothing: the command says which file to write, with code 2."""
    outcome = nst("serve", env={"NST_LIMITS": ""})

    assert (outcome.returncode, "NST_LIMITS" in outcome.stderr) == (2, True)
