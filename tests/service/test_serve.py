"""`nst serve`: one command runs the server, the schedules and the runs of one machine."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.service.service_tools import (
    Command,
    free_port,
    is_healthy,
    kill_all,
    wait_for,
    write_image,
    write_manifest,
)

pytestmark = pytest.mark.service


def test_one_command_runs_the_service(nst: Command, environment: dict[str, str], folder: Path) -> None:
    """`nst serve` starts a server with a password, runs what `nst submit` submits, and ends with all its processes."""
    data, port = folder / "data", free_port()
    for number, name in enumerate(("style", "a")):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "mine.csv", ["a"])
    with (folder / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            # If the tests run under nohup, SIGHUP is ignored by the processes that they start too.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  # nothing else runs in it
        )
    try:
        wait_for("the service is starting", (folder / "runs" / "_service" / "starting.lock").exists, 90)
        submitted = nst("submit", data / "mine.csv", "--output", data / "mine", "--precision", "fp32", "--wait")
        queued = nst("submit", data / "mine.csv", "--output", data / "mine", "--precision", "fp32")
        page = re.findall(
            rf"^watch:  (http://127.0.0.1:{port}/v2/runs/flow-run/[0-9a-f-]+)$", queued.stdout, re.MULTILINE
        )
        shown = httpx.get(page[0], headers={"Accept": "text/html"}, follow_redirects=True)
        assert shown.headers["content-type"].startswith("text/html")
        assert f"status: nst status {data}/mine" in queued.stdout.splitlines()
        access = folder / "runs" / "_service" / "access.json"

        assert submitted.returncode == 0, submitted.stderr
        assert "a service is starting in" in submitted.stderr  # a submission waits for it
        assert stat.S_IMODE(access.stat().st_mode) == 0o600
        assert json.loads(access.read_text())["url"] == f"http://127.0.0.1:{port}/api"
        # The pages in the browser ask this server, and not the one that Prefect's own settings name.
        told = httpx.get(f"http://127.0.0.1:{port}/ui-settings").json()
        assert told["api_url"] == f"http://127.0.0.1:{port}/api"
    finally:
        serving.send_signal(signal.SIGHUP)  # as if its terminal were closed; SIGTERM is tested below
        code = serving.wait(40)
    assert code == 0
    assert not is_healthy(f"http://127.0.0.1:{port}/api")


@pytest.mark.parametrize(
    ("send", "sent"), [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGHUP)], ids=["SIGTERM", "the terminal is closed"]
)
def test_a_service_that_is_stopped_continues_later(
    environment: dict[str, str],
    nst: Command,
    tmp_path: Path,
    folder: Path,
    send: Callable[[int, int], None],
    sent: signal.Signals,
) -> None:
    """A service stopped during a run ends within ten seconds, with a table; started again, it does the other pairs."""
    data, port, names = folder / "data", free_port(), [f"later-{number}" for number in range(24)]
    out = data / f"later-{sent.name}"
    for number, name in enumerate(("style", *names)):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "later.csv", names)
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", str(port)]
    log = (tmp_path / "serve.log").open("w")
    serving = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  # as above
    )
    try:
        wait_for("all deployments are served", lambda: "inbox/inbox" in (tmp_path / "serve.log").read_text(), 90)
        stub = ("--backbone", "stub", "--stub", "seconds=0.5")
        assert nst("submit", data / "later.csv", "--output", out, *stub).returncode == 0
        wait_for("some pairs are done", lambda: len(list(out.glob("_nst/records/*"))) >= 3, 90)
        send(serving.pid, sent)
        began = time.monotonic()
        code = serving.wait(40)
        seconds = time.monotonic() - began
        stopped = json.loads((out / "summary.json").read_text())

        serving = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        wait_for("the other pairs are done", (out / "_SUCCESS").exists, 120)
    finally:
        serving.terminate()
        serving.wait(40)
        log.close()
    assert (code, seconds < 10) == (0, True), seconds
    assert 0 < stopped["succeeded"] < len(names) == stopped["succeeded"] + stopped["pending"]
    finished = json.loads((out / "summary.json").read_text())
    assert (finished["succeeded"], finished["done_before"]) == (len(names), stopped["succeeded"])


def test_a_service_that_died_continues_its_run(
    environment: dict[str, str], nst: Command, tmp_path: Path, folder: Path
) -> None:
    """After SIGKILL of a service and its run, the next start of the service does the other pairs in the same run."""
    data, port, names = folder / "data", free_port(), [f"died-{number}" for number in range(24)]
    out = data / "died"
    for number, name in enumerate(("style", *names)):
        write_image(data / f"{name}.png", number)
    write_manifest(data / "died.csv", names)
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", str(port)]
    log = (tmp_path / "serve.log").open("w")
    serving = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_for("all deployments are served", lambda: "inbox/inbox" in (tmp_path / "serve.log").read_text(), 90)
        stub = ("--backbone", "stub", "--stub", "seconds=0.5")
        submitted = nst("submit", data / "died.csv", "--output", out, *stub, "--json")
        wait_for("some pairs are done", lambda: len(list(out.glob("_nst/records/*"))) >= 3, 90)
        kill_all(serving.pid)
        serving.wait(40)
        wait_for("the server has ended", lambda: not is_healthy(f"http://127.0.0.1:{port}/api"), 40)
        done = len(list(out.glob("_nst/records/*")))

        serving = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        wait_for("the other pairs are done", (out / "_SUCCESS").exists, 120)
        access = json.loads((folder / "runs" / "_service" / "access.json").read_text())
        run_id = json.loads(submitted.stdout)["run_id"]
        wait_for(
            "the run is over",
            lambda: (
                httpx.get(f"{access['url']}/flow_runs/{run_id}", auth=tuple(access["auth"].split(":"))).json()["state"][
                    "name"
                ]
                == "Completed"
            ),
            60,
        )
    finally:
        serving.terminate()
        serving.wait(40)
        log.close()
    finished = json.loads((out / "summary.json").read_text())
    assert (finished["succeeded"], finished["done_before"]) == (len(names), done)


def test_a_service_without_limits_is_not_started(nst: Command) -> None:
    """Without limits, with which it could read nothing, `nst serve` ends with exit code 2 and names NST_LIMITS."""
    outcome = nst("serve", env={"NST_LIMITS": ""})

    assert (outcome.returncode, "NST_LIMITS" in outcome.stderr) == (2, True)
