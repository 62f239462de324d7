from pathlib import Path

import pytest

from tests.flows.builders import Painter


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, and no server is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no run has told yet how fast this machine is
    for name in ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "NST_LIMITS", "NST_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pictures(photo: Painter, style: Painter) -> None:
    """The pictures that the manifest GOOD names."""
    photo("cat.png")
    style("waves.png")
