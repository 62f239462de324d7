"""servers.embedded_server: when a run has its own server, and how that is kept running."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.errors import ServiceError
from flows.prefect_layer import configured
from flows.prefect_layer.configured import is_part_of_a_run, is_without_server
from flows.prefect_layer.servers import embedded_server
from flows.prefect_layer.servers.embedded_server import begin_server, kept_running
from flows.prefect_layer.servers.named_server import answers
from flows.prefect_layer.servers.run_server import ServerProcess
from tests.flows import servers

REAL_PYTHON = sys.executable


@pytest.fixture
def no_server_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a home of Prefect in it, and no variable that names a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name in configured.NAMING:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path


def test_a_run_has_its_own_server_by_default(no_server_named: Path) -> None:
    """If nothing names a server, a run has its own; a pyproject.toml that depends on Prefect names none."""
    (no_server_named / "pyproject.toml").write_text('[project]\ndependencies = ["prefect"]\n')

    assert is_without_server()


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"])
def test_the_environment_may_name_a_server(no_server_named: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """PREFECT_API_URL, or a profile in a file of its own, names a server, so that the run has none of its own."""
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
def test_files_may_name_a_server(no_server_named: Path, file: str, text: str) -> None:
    """Each file in which Prefect looks for settings can name a server."""
    (no_server_named / file).write_text(text)

    assert not is_without_server()


def test_a_process_without_a_home_has_no_own_server(no_server_named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PREFECT_HOME, as in a script of the user, starting a server is left to Prefect."""
    monkeypatch.delenv("PREFECT_HOME")

    assert not is_without_server()


@pytest.mark.parametrize(
    ("name", "is_part"),
    [("PREFECT__FLOW_RUN_ID", True), ("PREFECT__RUNTIME__NAME", True), ("PREFECT_HOME", False), ("PREFECT__X", False)],
)
def test_the_environment_tells_a_process_of_a_deployment(
    monkeypatch: pytest.MonkeyPatch, name: str, is_part: bool
) -> None:
    """Either variable that Prefect gives the process of a deployment is recognized; its other settings are not."""
    for other in [other for other in os.environ if other.startswith("PREFECT__")]:
        monkeypatch.delenv(other)
    assert not is_part_of_a_run()
    monkeypatch.setenv(name, "x")

    assert is_part_of_a_run() is is_part


# ---------------------------------------------------------------- a server that is kept running


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process has started no server yet; those that it starts are ended after the test, and supervised closely."""
    begun: list[ServerProcess] = []
    monkeypatch.setattr(embedded_server, "_servers", begun)
    monkeypatch.setattr(embedded_server, "LOOK_SECONDS", 0.02)
    yield
    for server in begun:
        server.kill()


@pytest.fixture
def server(no_server_named: Path, home: Path, no_servers: None) -> ServerProcess:
    """The running server of a run."""
    begun = begin_server()
    assert begun is not None
    begun.wait()
    return begun


def _becomes(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Return whether something becomes true within some seconds."""
    ends = time.monotonic() + seconds
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.01)
    return is_so()


def test_the_server_of_a_run_is_named_in_the_environment(server: ServerProcess, home: Path) -> None:
    """The server runs in Prefect's home, and the environment has its address for Prefect."""
    assert os.environ["PREFECT_API_URL"] == server.url
    assert server.home == home
    assert len(servers.starts(home)) == 1


@pytest.mark.parametrize("named", ["home", "~"])
def test_a_home_may_be_named_relative_to_here_or_to_the_users(
    no_server_named: Path, home: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The database of a relative PREFECT_HOME, or one with `~`, is found where Prefect has it, and so is a profile."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PREFECT_HOME", named)
    (home / "prefect.db").write_bytes(b"not a database")
    with pytest.raises(ServiceError, match=rf"{home}/prefect.db: .*file is not a database"):
        begin_server()

    (home / "profiles.toml").touch()
    assert begin_server() is None


def test_no_server_is_started_if_one_may_be_named(
    no_server_named: Path, home: Path, no_servers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a profile may name a server, none is started and the environment is not changed."""
    monkeypatch.setenv("PREFECT_PROFILE", "cloud")

    assert begin_server() is None
    assert "PREFECT_API_URL" not in os.environ
    assert not (home / "starts.jsonl").exists()


def test_a_server_that_cannot_be_started_is_an_error(
    no_server_named: Path, home: Path, no_servers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system starts no process for the server, the error says so."""

    def refused(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(
        ServiceError, match=r"no process for the Prefect server could be started \(.*unavailable\)\. This"
    ):
        begin_server()


def test_a_server_ends_with_this_process(server: ServerProcess) -> None:
    """When our end of its input is closed, as at the end of this process, the server ends."""
    assert server.process is not None and server.process.stdin is not None
    server.process.stdin.close()

    assert _becomes(lambda: not server.is_alive())
    assert server.process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("function", ["begin", "wait"])
def test_a_run_that_is_killed_leaves_no_server(home: Path, function: str) -> None:
    """A process that is killed just after it has started its server, or later, leaves no server behind."""
    code = f"""
import os, pathlib, signal, sys
from flows.prefect_layer.servers.run_server import ServerProcess
sys.executable = {sys.executable!r}
server = ServerProcess(pathlib.Path({str(home)!r}))
server.{function}()
print(server.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([REAL_PYTHON, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    server_id = int(ended.stdout)
    has_ended = _becomes(lambda: not _runs(server_id))
    if not has_ended:
        os.kill(server_id, signal.SIGKILL)
    assert has_ended


def _runs(process_id: int) -> bool:
    """Return whether a process runs; one that has ended may stay until the process that adopted it asks for it."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_server_that_dies_is_started_again(server: ServerProcess, caplog: pytest.LogCaptureFixture) -> None:
    """A server that dies during a run is started again on its port, which is logged."""
    with caplog.at_level(logging.WARNING), kept_running():
        assert server.process is not None
        first = server.process.pid
        os.kill(first, signal.SIGKILL)

        assert _becomes(lambda: server.process is not None and server.process.pid != first and answers(server.url))
    assert caplog.messages == ["Prefect's embedded server ended with exit code -9; starting it again"]


def test_the_server_runs_at_the_end_of_a_run(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead server is started again at the end of a run, as Prefect reports the end to it; its thread has ended."""
    monkeypatch.setattr(embedded_server, "LOOK_SECONDS", 60.0)
    with kept_running():
        server.kill()

    assert answers(server.url)
    assert "server" not in {thread.name for thread in threading.enumerate()}


def test_a_healthy_server_is_not_started_again(server: ServerProcess, home: Path) -> None:
    """Neither a run nor its error or interruption starts another server, and a second run uses the same one."""
    with kept_running(), kept_running():
        pass
    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), kept_running():
            raise error

    assert server.is_alive()
    assert len(servers.starts(home)) == 1


@pytest.mark.parametrize(("error", "times_begun"), [(KeyboardInterrupt(), 2), (ValueError(), 1)])
def test_an_interruption_replaces_a_server_that_is_ending(
    server: ServerProcess, home: Path, error: BaseException, times_begun: int
) -> None:
    """After an interruption a server that no longer answers is replaced; after an error it is not."""
    assert server.process is not None
    (home / f"{server.process.pid} is ending").touch()
    with pytest.raises(type(error)), kept_running():
        raise error

    assert len(servers.starts(home)) == times_begun


def test_a_server_that_cannot_be_restarted_stops_no_run(
    server: ServerProcess, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the server cannot be started again, the log says so and the run goes on."""
    with caplog.at_level(logging.WARNING), kept_running():
        (home / "ends at once").touch()
        server.kill()

        assert _becomes(lambda: any("could not be started again" in text for text in caplog.messages))
