"""PREFECT_HOME, which the user names: refused in a sentence where it is of no use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import ServiceError
from flows.prefect_layer.embedded_server import check_prefect_home


@pytest.mark.parametrize("server", ["", "http://127.0.0.1:4200/api"])
def test_a_prefect_home_that_is_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """By name, before Prefect crashes at it; also where something above it is no folder. What is missing is made."""
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
    """By whom it is not allowed, which root is everything."""
    home = tmp_path / "home"
    home.mkdir(mode=0)
    code = (
        "import os; from flows.prefect_layer.embedded_server import check_prefect_home; nobody = 65534\n"
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


def test_a_prefect_home_may_be_for_reading_where_it_names_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept there then."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.setattr(os, "access", lambda _place, rights: not rights & os.W_OK)

    with pytest.raises(ServiceError, match="read and write"):
        check_prefect_home()
    (tmp_path / "profiles.toml").touch()
    check_prefect_home()


def test_a_home_with_a_question_mark_is_refused_where_a_database_would_be_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The path in the address of Prefect's database would end at the `?`; beside a named server there is none."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", f"{tmp_path}/a?b")
    with pytest.raises(ServiceError, match=r"^PREFECT_HOME=.*/a\?b: expected a path without '\?', .* leave it out$"):
        check_prefect_home()

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    check_prefect_home()
