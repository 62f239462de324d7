"""embedded_server: when a run has a server of its own, and when it leaves that to Prefect."""

from pathlib import Path

import pytest

from flows.prefect_layer.embedded_server import is_without_server


@pytest.fixture
def nowhere_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with Prefect's home in it, and no server in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path


def test_without_any_name_a_run_has_a_server_of_its_own(nowhere_named: Path) -> None:
    """A project of the user's that merely depends on Prefect names none."""
    (nowhere_named / "pyproject.toml").write_text('[project]\ndependencies = ["prefect"]\n')

    assert is_without_server()


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_PROFILE"])
def test_the_environment_may_name_a_server(nowhere_named: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By its address, or by a profile that has one."""
    monkeypatch.setenv(name, "cloud")

    assert not is_without_server()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("home/profiles.toml", 'active = "cloud"'),
        ("prefect.toml", '[api]\nurl = "https://prefect.example.org/api"'),
        (".env", "PREFECT_API_URL=https://prefect.example.org/api"),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "https://prefect.example.org/api"'),
    ],
)
def test_files_may_name_a_server(nowhere_named: Path, file: str, text: str) -> None:
    """In every place in which Prefect looks for settings."""
    (nowhere_named / file).write_text(text)

    assert not is_without_server()


def test_a_process_that_has_not_chosen_a_home_leaves_it_to_prefect(
    nowhere_named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a script of the user's, whose home is wherever Prefect says."""
    monkeypatch.delenv("PREFECT_HOME")

    assert not is_without_server()
