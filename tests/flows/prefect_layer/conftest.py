"""A home of Prefect's, in which servers start in a moment."""

import sys
from pathlib import Path

import pytest

from flows.prefect_layer import server_process
from tests.flows import servers


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for Prefect's state; the servers that are started now are quick ones, and keep their notes here."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv(servers.HOME, str(folder))
    monkeypatch.setattr(sys, "executable", servers.interpreter(tmp_path))
    monkeypatch.setattr(server_process, "LOOK_SECONDS", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no copy of a real database
    monkeypatch.setenv("PREFECT_API_URL", "taken away again afterwards")
    monkeypatch.delenv("PREFECT_API_URL")
    return folder
