"""flows.prefect_layer.readable_settings: settings that Prefect refuses are reported in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

READ = "import flows; from flows.prefect_layer.readable_settings import read_settings; read_settings()"


def error_with(folder: Path, **variables: str) -> str:
    """The last line that a process prints which reads Prefect's settings in a folder."""
    outcome = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.getcwd(), "PREFECT_HOME": str(folder / "home")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return (outcome.stderr.strip().splitlines() or ["none"])[-1].removeprefix("flows.errors.ServiceError: ")


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("LOGGING_LEVEL", "loud", "LOUD"),
        ("API_REQUEST_TIMEOUT", "a minute", "a minute"),
        ("API_REQUEST_TIMEOUT", "", ""),
    ],
)
def test_a_variable_that_prefect_refuses_is_named(tmp_path: Path, name: str, value: str, found: str) -> None:
    """The sentence has the variable, what Prefect expects, and what it found."""
    said = error_with(tmp_path, **{f"PREFECT_{name}": value})

    assert said.startswith(f"PREFECT_{name}: Input should be ")
    assert said.endswith(f", found {found!r}. Correct it")


def test_files_of_settings_are_named(tmp_path: Path) -> None:
    """For a file that is no TOML the sentence has Prefect's reason and the places of settings; good files pass."""
    (tmp_path / "prefect.toml").write_text("api = [")
    said = error_with(tmp_path)

    assert said.startswith("Prefect cannot use its settings, from a variable PREFECT_..., .env, prefect.toml or ")
    assert "invalid TOML" in said

    (tmp_path / "prefect.toml").write_text("[api]\nrequest_timeout = 30\n")
    assert error_with(tmp_path) == "none"
