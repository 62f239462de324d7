"""flows.cli.service, flows.prefect_layer.server: `nst submit` and `nst serve` without a server."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from flows.cli import service as cli_service
from flows.cli.run import ExitCode, app
from flows.errors import ServiceError
from flows.prefect_layer import server as service

GOOD = "id,content,style\ncat,cat.png,waves.png\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, and no server is named."""
    monkeypatch.chdir(tmp_path)
    for name in ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "NST_LIMITS", "NST_DATA"):
        monkeypatch.delenv(name, raising=False)
    Path("pairs.csv").write_text(GOOD)


def nst(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_the_exit_codes_are_those_of_the_other_commands() -> None:
    """A script need not know whether a run was its own process or the service's."""
    assert (cli_service.SOME_FAILED, cli_service.INTERRUPTED) == (ExitCode.SOME_FAILED, ExitCode.INTERRUPTED)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["submit", "pairs.csv"], ExitCode.NOTHING_DONE, "set PREFECT_API_URL"),
        (["submit", "none.csv"], ExitCode.UNUSABLE, "none.csv: no such file"),
        (["submit", "pairs.csv", "--steps", "many"], ExitCode.UNUSABLE, "--steps: expected a whole number"),
        (["submit", "s3://bucket/pairs.csv", "--no-check"], ExitCode.UNUSABLE, "needs --output"),
        (["submit", "s3://key:a-secret@bucket/pairs.csv"], ExitCode.UNUSABLE, "no bucket's name"),
        (["serve"], ExitCode.UNUSABLE, "NST_LIMITS"),
        (["serve", "--deployments", "none.yaml"], ExitCode.UNUSABLE, "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(arguments: list[str], code: ExitCode, message: str) -> None:
    """A command that has no server, no manifest or no limits ends with its code and the reason, without secrets."""
    result = nst(*arguments)

    assert result.exit_code == code, result.output
    assert message in result.output
    assert "a-secret" not in result.output


def test_a_server_that_does_not_answer_is_named() -> None:
    """A wrong address is exit code 4 and one line, not a traceback."""
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(Path.cwd() / "home")}
    root = str(Path(cli_service.__file__).parents[2])
    outcome = subprocess.run(
        [sys.executable, "-m", "flows.cli", "submit", "pairs.csv"],
        env=environment | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == ExitCode.NOTHING_DONE, outcome.stderr
    assert "http://127.0.0.1:9/api: the Prefect server does not answer" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_access_is_kept_for_its_owner_alone() -> None:
    """What `nst submit` needs to reach a server is readable by nobody else, and the next start keeps the password."""
    assert service._password(service.FOLDER) != service._password(service.FOLDER)  # a new one each time, until ...
    access = service.Access("http://127.0.0.1:4200/api", "nst:kept")
    Path(service.FOLDER).mkdir(parents=True)
    service._write_access(access, service.FOLDER)

    assert stat.S_IMODE(os.stat(f"{service.FOLDER}/access.json").st_mode) == 0o600
    assert service.find_access() == access
    assert service._password(service.FOLDER) == "nst:kept"


def test_the_operators_password_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment is the one that is used."""
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "nst:given")

    assert service._password(service.FOLDER) == "nst:given"


def test_damaged_access_is_an_error_with_its_place() -> None:
    """A file that is no access file is named."""
    Path(service.FOLDER).mkdir(parents=True)
    Path(service.FOLDER, "access.json").write_text("{}")

    with pytest.raises(ServiceError, match=r"access\.json cannot be used"):
        service.find_access()
