"""The command `nst` as a subprocess, with a Prefect server that the session shares or with one per run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.prefect_layer.servers.run_server import ServerProcess

Nst = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def without_server(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who names no Prefect server; all tests of the session share one Prefect database."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    home = tmp_path_factory.mktemp("prefect")
    return environment | {"PREFECT_HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def with_server(without_server: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a user who names a Prefect server, so that runs need not start one, which takes seconds."""
    home = without_server["PREFECT_HOME"]
    server = ServerProcess(Path(home), {"PREFECT_HOME": home})
    server.wait()
    yield without_server | {"PREFECT_API_URL": server.url}
    server.stop()


@pytest.fixture
def nst(with_server: dict[str, str], tmp_path: Path) -> Nst:
    """Runs `nst` as a subprocess in an empty working directory, with the shared Prefect server."""
    return command(with_server, tmp_path)


@pytest.fixture
def nst_without_server(without_server: dict[str, str], tmp_path: Path) -> Nst:
    """Runs `nst` like `nst`, but each run starts an embedded Prefect server."""
    return command(without_server, tmp_path)


def command(environment: dict[str, str], folder: Path) -> Nst:
    """Return a function that runs `nst` in a folder."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=folder,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
