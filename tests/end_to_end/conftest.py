import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Nst = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def nst_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user without a Prefect server; one Prefect database serves all tests of the session."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    home = tmp_path_factory.mktemp("prefect")
    return environment | {"PREFECT_HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def nst(nst_environment: dict[str, str], tmp_path: Path) -> Nst:
    """The command `nst` as a process of its own, in an empty working directory."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=nst_environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
