"""Runs in difficult environments: proxies, locales, unusable servers and databases."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MANIFESTS = Path(__file__).parents[2] / "manifests"
NOBODY = "http://127.0.0.1:9"


def test_a_run_copes_with_proxies_a_damaged_database_and_shadowing_files(tmp_path: Path) -> None:
    """Dead proxies, an empty PREFECT_API_URL, files named like modules and a damaged database do not stop a run."""
    for name in ("random.py", "json.py", "flows.py", "nst_core.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')\n")
    (tmp_path / "runs").touch()  # so that Prefect's state cannot be kept below it
    state = tmp_path / "state" / "bulk-style-transfer" / "prefect"
    state.mkdir(parents=True)
    (state / "prefect.db").write_text("no database")
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), NOBODY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    outcome = subprocess.run(
        [Path(sys.executable).parent / "nst", "run", MANIFESTS / "quickstart.csv", "--backbone", "stub", "-o", "out"],
        cwd=tmp_path,
        env=environment | proxies | {"PREFECT_API_URL": "", "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
    assert "6 succeeded" in outcome.stdout
    assert "Prefect's own state is in state/bulk-style-transfer/prefect" in outcome.stdout
    assert "It is now prefect.db.set-aside-" in outcome.stderr
    assert "ERROR" not in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_server_that_does_not_answer_is_reported_in_one_sentence(nst, tmp_path: Path) -> None:
    """A run whose Prefect server does not answer ends with 4 and creates nothing."""
    command = ("run", MANIFESTS / "quickstart.csv", "--backbone", "stub", "-o", "out")
    outcome = nst(*command, env={"PREFECT_API_URL": f"{NOBODY}/api"})

    assert outcome.returncode == 4
    assert outcome.stderr.count("\n") == 1
    assert f"nst: {NOBODY}/api: the Prefect server does not answer (" in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(401, b"", "the server refuses these credentials"), (200, b'"2.19.0"', "one that does not go with it")],
)
def test_an_unusable_server_is_reported_in_one_sentence(nst, status: int, body: bytes, said: str) -> None:
    """A healthy server that refuses the credentials, or has another major version, ends a run with 4, no traceback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_health = self.path.endswith("/health")
            self.send_response(200 if is_health else status)
            self.end_headers()
            self.wfile.write(b"true" if is_health else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        command = ("run", MANIFESTS / "quickstart.csv", "--backbone", "stub", "-o", "out")
        outcome = nst(*command, env={"PREFECT_API_URL": url})
        server.shutdown()

    assert outcome.returncode == 4, outcome.stderr
    assert f"nst: {url}: " in outcome.stderr
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_missing_database_is_reported_in_one_sentence(nst_without_server, tmp_path: Path) -> None:
    """A run whose embedded server ends at once is ended within seconds, with the last words of the server."""
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/none/prefect.db"}
    command = ("run", MANIFESTS / "quickstart.csv", "--backbone", "stub", "-o", "out")
    outcome = nst_without_server(*command, env=database)

    assert outcome.returncode == 4
    assert "Traceback" not in outcome.stderr
    assert "nst: Prefect's embedded server does not start: " in outcome.stderr
    assert "unable to open database file" in outcome.stderr


def test_characters_that_a_terminal_lacks_are_shown_as_escapes(nst, tmp_path: Path) -> None:
    """A manifest in Greek is printed in full on a Latin-1 terminal, without a UnicodeEncodeError."""
    shutil.copy(MANIFESTS / "images" / "chelsea.jpg", tmp_path / "γάτα.jpg")
    (tmp_path / "pairs.csv").write_text("content,style\nγάτα.jpg,κύματα.jpg\n", encoding="utf-8")
    outcome = nst("validate", "pairs.csv", env={"PYTHONIOENCODING": "iso-8859-1"})
    told = nst("validate", "pairs.csv", "--json", env={"PYTHONIOENCODING": "iso-8859-1"})

    assert outcome.returncode == told.returncode == 3, outcome.stderr
    assert "\\u03ba\\u03cd\\u03bc" in outcome.stdout
    assert json.loads(told.stdout)["problems"][0]["row"] == 2


@pytest.fixture
def latin_1(tmp_path: Path) -> dict[str, str]:
    """An environment with a Latin-1 locale, which is compiled for this test."""
    places = tmp_path / "locales"
    places.mkdir()
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", places / "en_US.ISO-8859-1"]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no locale can be made here")
    return {"LOCPATH": str(places), "LC_ALL": "en_US.ISO-8859-1", "LANG": "en_US.ISO-8859-1"}


def test_files_are_found_in_a_latin_1_locale(nst, latin_1: dict[str, str], tmp_path: Path) -> None:
    """Files with Greek and accented names are found, on the command line and in a manifest, in a Latin-1 locale."""
    for name in ("γάτα.jpg", "café.jpg"):
        shutil.copy(MANIFESTS / "images" / "chelsea.jpg", tmp_path / name)
    (tmp_path / "ζεύγη.csv").write_text("content,style\nγάτα.jpg,café.jpg\n", encoding="utf-8")
    outcome = nst("validate", "ζεύγη.csv", env=latin_1)

    assert outcome.returncode == 0, outcome.stderr
    assert "1 row is valid and its files exist" in outcome.stdout
