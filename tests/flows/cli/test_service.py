"""flows.cli.submit, flows.cli.serve: `nst submit` and `nst serve` without a server."""

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
from flows.prefect_layer.servers.access import FOLDER, Access, find_access, password_for, write_access
from flows.prefect_layer.servers.named_server import check_named_address
from tests.flows.commands import manifest, nst


@pytest.fixture(autouse=True)
def there_is_a_manifest(in_folder: None) -> None:
    """The working folder has a manifest."""
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
        (["serve"], ExitCode.UNUSABLE, 'read = ["/data"] and write = ["/data"]'),
        (["serve", "--port", "70000"], ExitCode.UNUSABLE, "65535"),
        (["serve", "--deployments", "none.yaml"], ExitCode.UNUSABLE, "none.yaml: no such file"),
    ],
)
def test_a_wrong_command_says_why_without_secrets(arguments: list[str], code: ExitCode, message: str) -> None:
    """A command without a server, a manifest or limits ends with its exit code and the reason, without secrets."""
    result = nst(*arguments)

    assert result.exit_code == code, result.output
    assert message in result.output
    assert "a-secret" not in result.output


def test_a_server_that_does_not_answer_is_named() -> None:
    """An address at which no server answers ends the command with exit code 4 and its name, without a traceback."""
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
def test_an_address_without_api_is_refused(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """An address without `/api` is refused before anything is written; the message shows the right one."""
    monkeypatch.setenv("PREFECT_API_URL", "http://me:a-secret@127.0.0.1:9/")
    result = nst(command, "pairs.csv", "--output", "out")

    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert (
        "expected the address of Prefect's API, such as http://***@127.0.0.1:9/api, found one without" in result.output
    )
    assert "a-secret" not in result.output
    assert not Path("out").exists()


@pytest.mark.parametrize(("answer", "is_taken"), [(b"true", True), (b"<!doctype html>", False)])
def test_an_api_at_the_root_is_recognized(monkeypatch: pytest.MonkeyPatch, answer: bytes, is_taken: bool) -> None:
    """An address without `/api` is used if the API answers there, not if only a server's pages do."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is the library's
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}")
        with nullcontext() if is_taken else pytest.raises(ServiceError, match="expected the address of Prefect's API"):
            check_named_address()
        server.shutdown()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:9/api", "http://127.0.0.1:9/api: the Prefect server does not answer"),
        ("PREFECT_HOME", "pairs.csv", "PREFECT_HOME=pairs.csv: expected a folder"),
    ],
)
def test_serve_refuses_an_unusable_server_or_home(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A server that does not answer, or a PREFECT_HOME that is not a folder, ends `nst serve` with exit code 4."""
    Path("limits.toml").write_text('read = ["/"]\nwrite = ["/"]\n')
    monkeypatch.setenv("NST_LIMITS", "limits.toml")
    monkeypatch.setenv("NST_DATA", "restored afterwards")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(variable, value)
    result = nst("serve")

    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert message in result.output
    assert "serving" not in result.output


def test_serve_refuses_a_folder_with_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nst serve` refuses a folder with `?` in its path, where its server's database cannot be, and writes nothing."""
    Path("limits.toml").write_text('read = ["/"]\nwrite = ["/"]\n')
    monkeypatch.setenv("NST_LIMITS", str(Path("limits.toml").resolve()))
    monkeypatch.setenv("NST_DATA", "restored afterwards")
    Path("a?b").mkdir()
    monkeypatch.chdir("a?b")
    result = nst("serve")

    assert result.exit_code == ExitCode.UNUSABLE, result.output
    assert "a?b/runs/_service: the service's state cannot be kept here (expected a path without '?'" in result.output
    assert not Path("runs/_service/access.json").exists()


def test_only_the_owner_can_read_the_access_file() -> None:
    """Only its owner can read the file with the address and password of a server, which the next start reuses."""
    assert password_for(FOLDER) != password_for(FOLDER)  # new, until one is written
    access = Access("http://127.0.0.1:4200/api", "nst:kept")
    Path(FOLDER).mkdir(parents=True)
    write_access(access, FOLDER)

    assert stat.S_IMODE(os.stat(f"{FOLDER}/access.json").st_mode) == 0o600
    assert find_access() == access
    assert password_for(FOLDER) == "nst:kept"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change the owner of a file")
@pytest.mark.parametrize(("owner", "user"), [(4711, 4711), (0, 4711), (4712, 0)])
def test_the_access_file_of_this_user_or_root_is_used(monkeypatch: pytest.MonkeyPatch, owner: int, user: int) -> None:
    """An access file of this user or of root is used; root uses any user's."""
    access = Access("http://127.0.0.1:4200/api", "nst:kept")
    Path(FOLDER).mkdir(parents=True)
    write_access(access, FOLDER)
    os.chown(f"{FOLDER}/access.json", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: user)

    assert find_access() == access


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can change the owner of a file")
def test_the_access_file_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An access file of another user is refused, as its server would receive secrets, and its password is not used."""
    Path(FOLDER).mkdir(parents=True)
    write_access(Access("http://127.0.0.1:4200/api", "nst:known"), FOLDER)
    os.chown(f"{FOLDER}/access.json", 4712, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    with pytest.raises(ServiceError, match="found one of user 4712"):
        find_access()
    assert password_for(FOLDER) != "nst:known"


def test_a_password_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment is used for the server."""
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "nst:given")

    assert password_for(FOLDER) == "nst:given"


def test_a_damaged_access_file_is_named() -> None:
    """A damaged access file is an error that names it."""
    Path(FOLDER).mkdir(parents=True)
    Path(FOLDER, "access.json").write_text("{}")

    with pytest.raises(ServiceError, match=r"access\.json cannot be used"):
        find_access()
