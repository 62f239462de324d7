"""flows.cli.submit, flows.cli.serve, flows.prefect_layer.server: `nst submit` and `nst serve` without a server."""

import os
import stat
import subprocess
import sys
import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.cli import ExitCode, submit
from flows.errors import ServiceError
from flows.prefect_layer import server as service
from tests.flows.commands import manifest, nst


@pytest.fixture(autouse=True)
def there_is_a_manifest(in_folder: None) -> None:
    manifest()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["submit", "pairs.csv"], ExitCode.NOTHING_DONE, "set PREFECT_API_URL"),
        (["submit", "none.csv"], ExitCode.UNUSABLE, "none.csv: no such file"),
        (["submit", "pairs.csv", "--steps", "many"], ExitCode.UNUSABLE, "--steps: expected a whole number"),
        (["submit", "s3://bucket/pairs.csv", "--no-check"], ExitCode.UNUSABLE, "needs --output"),
        (["submit", "-"], ExitCode.UNUSABLE, "expected the address of a manifest, found '-'"),
        (["submit", "s3://key:a-secret@bucket/pairs.csv"], ExitCode.UNUSABLE, "no bucket's name"),
        (
            ["submit", "pairs.csv", "--runner", "ray", "--ray-address", "ray://me:a-secret@head:10001"],
            ExitCode.UNUSABLE,
            "settings.ray_address: expected an address without a password",
        ),
        (
            ["submit", "pairs.csv", "--output", "https://me:a-secret@host/out"],
            ExitCode.UNUSABLE,
            "starts with 'https:'",
        ),
        (["run", "pairs.csv", "--ray-address", "ray://me:a-secret@head:1"], ExitCode.UNUSABLE, "without a password"),
        (
            ["submit", "pairs.csv", "--deployment", "nightly"],
            ExitCode.UNUSABLE,
            "--deployment nightly: expected FLOW/DEPLOYMENT, such as bulk-stylize/nightly",
        ),
        (["submit", "pairs.csv", "--deployment", "/"], ExitCode.UNUSABLE, "such as bulk-stylize/bulk-stylize"),
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
    root = str(Path(submit.__file__).parents[2])
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


@pytest.mark.parametrize("command", ["run", "submit"])
def test_the_address_of_a_server_is_not_that_of_its_api(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """With `/api` forgotten nothing is asked and nothing begun; the address that is meant is told."""
    monkeypatch.setenv("PREFECT_API_URL", "http://me:a-secret@127.0.0.1:9/")
    result = nst(command, "pairs.csv", "--output", "out")

    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert (
        "expected the address of Prefect's API, such as http://***@127.0.0.1:9/api, found one without" in result.output
    )
    assert "a-secret" not in result.output
    assert not Path("out").exists()


@pytest.mark.parametrize(("answer", "is_taken"), [(b"true", True), (b"<!doctype html>", False)])
def test_an_api_at_the_root_is_told_from_a_server_s_pages(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, is_taken: bool
) -> None:
    """A proxy may serve it there; a server's pages answer whatever is asked."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}")
        with nullcontext() if is_taken else pytest.raises(ServiceError, match="expected the address of Prefect's API"):
            service.check_named_address()
        server.shutdown()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:9/api", "http://127.0.0.1:9/api: the Prefect server does not answer"),
        ("PREFECT_HOME", "pairs.csv", "PREFECT_HOME=pairs.csv: expected a folder"),
    ],
)
def test_a_service_is_not_begun_without_its_server(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A named server that does not answer, or a home of Prefect's that is none, is one line, before Prefect starts."""
    Path("limits.toml").write_text('read = ["/"]\nwrite = ["/"]\n')
    monkeypatch.setenv("NST_LIMITS", "limits.toml")
    monkeypatch.setenv("NST_DATA", "taken away again afterwards")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(variable, value)
    result = nst("serve")

    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert message in result.output
    assert "serving" not in result.output


def test_a_service_is_refused_in_a_folder_with_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server's database cannot be there: one line, and nothing is made."""
    Path("limits.toml").write_text('read = ["/"]\nwrite = ["/"]\n')
    monkeypatch.setenv("NST_LIMITS", str(Path("limits.toml").resolve()))
    monkeypatch.setenv("NST_DATA", "taken away again afterwards")
    Path("a?b").mkdir()
    monkeypatch.chdir("a?b")
    result = nst("serve")

    assert result.exit_code == ExitCode.UNUSABLE, result.output
    assert "a?b/runs/_service: the service's state cannot be kept here (expected a path without '?'" in result.output
    assert not Path("runs/_service/access.json").exists()


def test_access_is_kept_for_its_owner_alone() -> None:
    """What `nst submit` needs to reach a server is readable by nobody else, and the next start keeps the password."""
    assert service._password(service.FOLDER) != service._password(service.FOLDER)  # a new one each time, until ...
    access = service.Access("http://127.0.0.1:4200/api", "nst:kept")
    Path(service.FOLDER).mkdir(parents=True)
    service._write_access(access, service.FOLDER)

    assert stat.S_IMODE(os.stat(f"{service.FOLDER}/access.json").st_mode) == 0o600
    assert service.find_access() == access
    assert service._password(service.FOLDER) == "nst:kept"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("owner", "asks"), [(4711, 4711), (0, 4711), (4712, 0)])
def test_access_of_a_service_of_ones_own(monkeypatch: pytest.MonkeyPatch, owner: int, asks: int) -> None:
    """That of root counts too, and root takes anybody's."""
    access = service.Access("http://127.0.0.1:4200/api", "nst:kept")
    Path(service.FOLDER).mkdir(parents=True)
    service._write_access(access, service.FOLDER)
    os.chown(f"{service.FOLDER}/access.json", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: asks)

    assert service.find_access() == access


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_access_that_another_user_left_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends secrets to a server that others name, or takes a password that they know."""
    Path(service.FOLDER).mkdir(parents=True)
    service._write_access(service.Access("http://127.0.0.1:4200/api", "nst:known"), service.FOLDER)
    os.chown(f"{service.FOLDER}/access.json", 4712, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    with pytest.raises(ServiceError, match="found one of user 4712"):
        service.find_access()
    assert service._password(service.FOLDER) != "nst:known"


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
