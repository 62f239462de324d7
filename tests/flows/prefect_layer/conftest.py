"""A home of Prefect in which a stand-in for its server starts at once."""

import sys
from pathlib import Path

import pytest

from flows.prefect_layer.servers import run_server
from tests.flows import servers


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for Prefect's state; servers that are started now are stand-ins that note their starts there."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv(servers.HOME, str(folder))
    monkeypatch.setattr(sys, "executable", servers.interpreter(tmp_path))
    monkeypatch.setattr(run_server, "LOOK_SECONDS", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no copy of a real database
    monkeypatch.setenv("PREFECT_API_URL", "restored afterwards")
    monkeypatch.delenv("PREFECT_API_URL")
    return folder
