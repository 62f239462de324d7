"""embedded_server: when a run has a server of its own, and when it leaves that to Prefect."""

import errno
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.errors import ServiceError
from flows.prefect_layer import embedded_server
from flows.prefect_layer.embedded_server import begin_server, is_part_of_a_run, is_without_server, kept_running
from flows.prefect_layer.server import answers
from flows.prefect_layer.server_process import ServerProcess
from tests.flows import servers


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


@pytest.mark.parametrize(
    ("name", "is_part"),
    [("PREFECT__FLOW_RUN_ID", True), ("PREFECT__RUNTIME__NAME", True), ("PREFECT_HOME", False), ("PREFECT__X", False)],
)
def test_a_deployment_s_process_is_told_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, is_part: bool
) -> None:
    """Either name that Prefect gives such a process will do; its other settings say nothing of it."""
    for other in [other for other in os.environ if other.startswith("PREFECT__")]:
        monkeypatch.delenv(other)
    assert not is_part_of_a_run()
    monkeypatch.setenv(name, "x")

    assert is_part_of_a_run() is is_part


# ---------------------------------------------------------------- a server that is looked after


@pytest.fixture
def nothing_begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that looks after no server yet; those that it begins are ended at last. It looks often."""
    begun: list[ServerProcess] = []
    monkeypatch.setattr(embedded_server, "_servers", begun)
    monkeypatch.setattr(embedded_server, "_watchers", {})
    monkeypatch.setattr(embedded_server, "LOOK_SECONDS", 0.02)
    yield
    for server in begun:
        server.kill()
    for watcher in embedded_server._watchers.values():
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait(5)


@pytest.fixture
def server(nowhere_named: Path, home: Path, nothing_begun: None) -> ServerProcess:
    """That of a run, which answers."""
    begun = begin_server()
    assert begun is not None
    begun.wait()
    return begun


def _becomes(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something that may take a moment becomes so."""
    ends = time.monotonic() + seconds
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.01)
    return is_so()


def test_a_run_s_server_is_prefect_s_from_now_on(server: ServerProcess, home: Path) -> None:
    """It is begun in Prefect's home, and Prefect finds its address in the environment."""
    assert os.environ["PREFECT_API_URL"] == server.url
    assert server.home == home
    assert len(servers.starts(home)) == 1


def test_where_a_server_may_be_named_none_is_begun(
    nowhere_named: Path, home: Path, nothing_begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the environment stays as it is."""
    monkeypatch.setenv("PREFECT_PROFILE", "cloud")

    assert begin_server() is None
    assert "PREFECT_API_URL" not in os.environ
    assert not (home / "starts.jsonl").exists()


def test_a_server_that_nobody_can_watch_is_named(
    nowhere_named: Path, home: Path, nothing_begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that has room for the server and none for its watcher is no error without a name."""
    popen = subprocess.Popen

    def refused(command: list[str], **options: Any) -> Any:
        if "--port" not in command:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(
        ServiceError, match=r"no process for the Prefect server could be started \(.*unavailable\)\. This"
    ):
        begin_server()


def test_a_server_ends_with_this_process(server: ServerProcess) -> None:
    """However we end, the system closes our end of a pipe, and a watcher that waits for that ends the server."""
    assert server.process is not None
    watcher = embedded_server._watchers[server.process.pid]
    assert watcher.stdin is not None
    assert os.getsid(watcher.pid) != os.getsid(0)  # Ctrl-C does not reach it
    watcher.stdin.close()

    assert _becomes(lambda: not server.is_alive())
    assert server.process.returncode == -signal.SIGTERM


def test_a_server_that_dies_in_a_run_is_there_again(server: ServerProcess, caplog: pytest.LogCaptureFixture) -> None:
    """On its port, while the run goes on; that is logged, and only the new one is watched, as old ids are reused."""
    with caplog.at_level(logging.WARNING), kept_running():
        assert server.process is not None
        first = server.process.pid
        os.kill(first, signal.SIGKILL)

        assert _becomes(lambda: server.process is not None and server.process.pid != first and answers(server.url))
    assert caplog.messages == ["Prefect's embedded server ended with exit code -9; starting it again"]
    assert set(embedded_server._watchers) == {server.process.pid}


def test_at_the_end_of_a_run_the_server_is_there(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect is about to tell it how the run ended; nobody looks after it any more."""
    monkeypatch.setattr(embedded_server, "LOOK_SECONDS", 60.0)
    with kept_running():
        server.kill()

    assert answers(server.url)
    assert "server" not in {thread.name for thread in threading.enumerate()}


def test_a_server_that_is_well_is_left_alone(server: ServerProcess, home: Path) -> None:
    """Neither a run nor its error, nor an interruption, begins another; a second run looks after the same."""
    with kept_running(), kept_running():
        pass
    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)), kept_running():
            raise error

    assert server.is_alive()
    assert len(servers.starts(home)) == 1
    assert len(embedded_server._watchers) == 1


@pytest.mark.parametrize(("error", "times_begun"), [(KeyboardInterrupt(), 2), (ValueError(), 1)])
def test_an_interruption_does_not_wait_for_a_server_that_is_ending(
    server: ServerProcess, home: Path, error: BaseException, times_begun: int
) -> None:
    """One that answers nobody any more gives way to a new one; of an error a server has not heard, and is left."""
    assert server.process is not None
    (home / f"{server.process.pid} is ending").touch()
    with pytest.raises(type(error)), kept_running():
        raise error

    assert len(servers.starts(home)) == times_begun


def test_a_server_that_cannot_be_begun_again_stops_no_run(
    server: ServerProcess, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is for eyes alone: the log says why, and the pairs go on."""
    with caplog.at_level(logging.WARNING), kept_running():
        (home / "ends at once").touch()
        server.kill()

        assert _becomes(lambda: any("could not be started again" in text for text in caplog.messages))
