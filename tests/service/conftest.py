"""A Prefect server on loopback with a password, and the workers of both pools, started as the runbook says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.environment import DEFAULTS
from tests.service.service_tools import BIN, PASSWORD, ROOT, Command, command, free_port, is_healthy, stop, wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's folder."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """The environment of the service: limits that allow `folder` alone, and no settings of whoever runs the tests."""
    (folder / "limits.toml").write_text(f'read = ["{folder}"]\nwrite = ["{folder}/data"]\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_", "NST_"))}
    return kept | {
        **DEFAULTS,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "NST_DATA": str(folder / "data"),
        "NST_LIMITS": str(folder / "limits.toml"),
        "OMP_NUM_THREADS": "2",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="module")
def server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Start the server and yield the URL of its API; `environment` then names it, with the password."""
    api = f"http://127.0.0.1:{(port := free_port())}/api"
    environment |= {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": PASSWORD}
    log = (folder / "server.log").open("w")
    start = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    process = subprocess.Popen(
        start, env=environment | {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD}, cwd=folder, stdout=log, stderr=log
    )
    wait_for("the server is healthy", lambda: is_healthy(api), 90)
    yield api
    stop(process)


@pytest.fixture(scope="module")
def prefect(folder: Path, environment: dict[str, str], server: str) -> Command:
    """The command `prefect`, in the repository, with the service's environment."""
    return command([str(BIN / "prefect")], environment, ROOT)


@pytest.fixture(scope="module")
def nst(folder: Path, environment: dict[str, str]) -> Command:
    """The command `nst`, in the service's folder."""
    return command([sys.executable, "-m", "flows.cli"], environment, folder)


@pytest.fixture(scope="module")
def workers(
    folder: Path, environment: dict[str, str], prefect: Command
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Create both pools, deploy everything, and start one worker per pool, for one run at a time each."""
    for pool in ("nst-gpu", "nst-light"):
        made = prefect("work-pool", "create", pool, "--type", "process")
        assert made.returncode == 0, made.stderr
    deployed = prefect("--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    automated = prefect("automation", "create", "--from-file", "deploy/automations.yaml")
    assert automated.returncode == 0, automated.stdout + automated.stderr
    processes = {}
    for pool in ("nst-gpu", "nst-light"):
        log = (folder / f"{pool}.log").open("w")
        start = [
            sys.executable,
            ROOT / "deploy" / "worker.py",
            BIN / "prefect",
            "worker",
            "start",
            "--pool",
            pool,
            "--name",
            pool,
            "--type",
            "process",
            "--limit",
            "1",
        ]
        processes[pool] = subprocess.Popen(start, env=environment, cwd=folder, stdout=log, stderr=log)
    yield processes
    for process in processes.values():
        stop(process)
