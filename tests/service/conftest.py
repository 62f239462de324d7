"""A Prefect server of its own, on loopback with a password, and the workers of both pools, as the runbook starts them."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.environment import DEFAULTS

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """The environment of the service: limits that open `folder` alone, and nothing of who runs the tests."""
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


@pytest.fixture(scope="module")
def server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The URL of the API; the environment names it, with the password, from here on."""
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


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def prefect(folder: Path, environment: dict[str, str], server: str) -> Command:
    """The command `prefect`, in the repository, with the service's environment."""
    return command([str(BIN / "prefect")], environment, ROOT)


@pytest.fixture(scope="module")
def nst(folder: Path, environment: dict[str, str]) -> Command:
    """The command `nst`, in the service's folder."""
    return command([sys.executable, "-m", "flows.cli"], environment, folder)


@pytest.fixture(scope="module")
def workers(folder: Path, environment: dict[str, str], prefect: Command) -> Iterator[None]:
    """Pools made, everything deployed, and one worker per pool, one run at a time each."""
    for pool in ("nst-gpu", "nst-light"):
        made = prefect("work-pool", "create", pool, "--type", "process")
        assert made.returncode == 0, made.stderr
    deployed = prefect("--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    processes = []
    for pool in ("nst-gpu", "nst-light"):
        log = (folder / f"{pool}.log").open("w")
        start = [
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
        processes.append(subprocess.Popen(start, env=environment, cwd=folder, stdout=log, stderr=log))
    yield
    for process in processes:
        stop(process)
