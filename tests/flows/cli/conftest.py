from pathlib import Path

import pytest

from flows.environment import user_folder
from tests.flows.builders import Painter


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, and no variable names a server, limits or data.

    The cache has no measurements of this machine, but the template of Prefect's database, without which a run takes
    longer.
    """
    monkeypatch.chdir(tmp_path)
    shared = user_folder("XDG_CACHE_HOME", ".cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-cache")))
    own = user_folder("XDG_CACHE_HOME", ".cache")
    own.mkdir(parents=True)
    for template in shared.glob("prefect-*.db"):
        (own / template.name).symlink_to(template)
    for name in ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "NST_LIMITS", "NST_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def images(photo: Painter, style: Painter) -> None:
    """The image files that the rows of `tests.flows.commands.GOOD` name."""
    photo("cat.png")
    style("waves.png")
