from pathlib import Path

import pytest

from tests.flows.builders import Painter


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, with an empty cache, and no variable names a server, limits or data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # it would hold how fast this machine is
    for name in ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "NST_LIMITS", "NST_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def images(photo: Painter, style: Painter) -> None:
    """The image files that the rows of `tests.flows.commands.GOOD` name."""
    photo("cat.png")
    style("waves.png")
