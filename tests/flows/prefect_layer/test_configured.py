"""flows.prefect_layer.configured: an unusable PREFECT_HOME is refused in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import ServiceError
from flows.prefect_layer.configured import check_prefect_home


@pytest.mark.parametrize("server", ["", "http://127.0.0.1:4200/api"])
def test_a_prefect_home_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    """A file as PREFECT_HOME, or above it, is refused by name; a folder, or a path that can be created, is accepted."""
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", server)
    if not server:
        monkeypatch.delenv("PREFECT_API_URL")
    (tmp_path / "file").touch()

    check_prefect_home()
    for good in (tmp_path, tmp_path / "new" / "deep"):
        monkeypatch.setenv("PREFECT_HOME", str(good))
        check_prefect_home()
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("PREFECT_HOME", str(bad))
        with pytest.raises(
            ServiceError, match=rf"PREFECT_HOME={bad}: expected a folder .*found .*/file, which is none"
        ):
            check_prefect_home()


def test_a_prefect_home_without_rights_is_refused(tmp_path: Path) -> None:
    """A PREFECT_HOME that this user may not read is refused; root tests that as another user."""
    home = tmp_path / "home"
    home.mkdir(mode=0)
    code = (
        "import os; from flows.prefect_layer.configured import check_prefect_home; nobody = 65534\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(nobody); os.setuid(nobody)\n"
        "check_prefect_home()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PREFECT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"ServiceError: PREFECT_HOME={home}: expected a folder that this user may read" in done.stderr
    assert "where it may not" in done.stderr


def test_a_home_that_names_a_server_may_be_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only PREFECT_HOME is refused, unless its profiles.toml may name a server: then nothing is stored there."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.setattr(os, "access", lambda _place, rights: not rights & os.W_OK)

    with pytest.raises(ServiceError, match="read and write"):
        check_prefect_home()
    (tmp_path / "profiles.toml").touch()
    check_prefect_home()


def test_a_home_with_a_question_mark_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PREFECT_HOME with `?`, where the database's address would end, is refused unless a server is named."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", f"{tmp_path}/a?b")
    with pytest.raises(ServiceError, match=r"^PREFECT_HOME=.*/a\?b: expected a path without '\?', .* leave it out$"):
        check_prefect_home()

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    check_prefect_home()
