"""servers.run_server: a server from its start to its end, here a stand-in that starts at once."""

import atexit
import errno
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.environment import _use_as_home
from flows.errors import ServiceError
from flows.prefect_layer.servers import run_server
from flows.prefect_layer.servers.named_server import answers
from flows.prefect_layer.servers.run_server import PORTS, ServerProcess
from tests.flows import servers

TIMEOUT = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


@pytest.fixture
def server(home: Path) -> Iterator[ServerProcess]:
    """A server that has not been started; it is killed after the test."""
    made = ServerProcess(home)
    yield made
    made.kill()


def test_a_server_that_was_never_started_can_be_stopped(home: Path) -> None:
    """A server that was never started is not alive, and may be stopped and killed."""
    server = ServerProcess(home)

    assert not server.is_alive()
    server.stop()
    server.kill()
    assert not server.is_alive()


def test_wait_returns_when_the_server_answers(home: Path, server: ServerProcess) -> None:
    """`wait` starts one server on a port of loopback and returns when it answers; `stop` ends it."""
    server.wait()
    (start,) = servers.starts(home)

    assert server.port in PORTS
    assert server.url == f"http://127.0.0.1:{server.port}/api"
    assert server.is_alive() and answers(server.url)
    assert server.process is not None and start["pid"] == server.process.pid
    server.stop()
    assert not server.is_alive()
    assert server.process.returncode == -signal.SIGTERM


def test_begin_does_not_wait(home: Path, server: ServerProcess) -> None:
    """`begin` returns before the server answers, and `wait` then starts no second one."""
    (home / "takes its time").touch()
    server.begin()
    assert server.is_alive() and not answers(server.url)
    (home / "takes its time").unlink()
    server.wait()

    assert answers(server.url)
    assert len(servers.starts(home)) == 1


def test_a_server_that_died_is_started_again_on_its_port(
    home: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port stays, because clients know it, and the server's end is registered only once with atexit."""
    registered: list[object] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    server.wait()
    assert registered.count(server.stop) == 1
    port = server.port
    server.kill()
    assert not server.is_alive()
    server.wait()

    assert (server.port, answers(server.url), len(servers.starts(home))) == (port, True, 2)
    assert registered.count(server.stop) == 1


def test_the_command_line_of_the_server(home: Path, server: ServerProcess) -> None:
    """The server is started as Prefect starts its own, from its package, with SIGINT blocked for it alone."""
    server.wait()
    (start,) = servers.starts(home)

    folder = Path(start["arguments"][start["arguments"].index("--app-dir") + 1])
    flag, program, *application = start["arguments"][:4]
    assert flag == "-c"
    assert "gc.set_threshold" in program and program.endswith("from uvicorn import main; main()")
    assert application == ["--factory", "prefect.server.api.server:create_app"]
    assert (folder / "prefect" / "__init__.py").is_file()
    assert ["--host", "127.0.0.1", "--port", str(server.port)] == start["arguments"][6:10]
    assert start["deaf"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_environment_of_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has neither pages nor address, path and password of another one, but all other settings."""
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:a-secret")
    monkeypatch.setenv("PREFECT_SERVER_API_BASE_PATH", "/prefect")
    monkeypatch.setenv("PREFECT_SERVER_API_MAX_PARAMETER_SIZE", "9000000")
    monkeypatch.setenv("PREFECT_UI_ENABLED", "1")
    monkeypatch.setenv("A_SETTING", "the environment's")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for given in ({}, {"A_SETTING": "ours", "PYTHONSAFEPATH": "2", "PREFECT_SERVER_API_AUTH_STRING": "me:other"}):
        server = ServerProcess(home, given)
        server.wait()
        server.kill()
    plain, told = (start["environment"] for start in servers.starts(home))

    others = ("PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_API_BASE_PATH")
    assert {*others}.isdisjoint({*plain, *told})
    assert plain["PREFECT_SERVER_API_MAX_PARAMETER_SIZE"] == told["PREFECT_SERVER_API_MAX_PARAMETER_SIZE"] == "9000000"
    assert {plain[name] for name in ("PREFECT__SERVER_EPHEMERAL", "PREFECT__SERVER_FINAL", "PYTHONSAFEPATH")} == {"1"}
    assert (plain["PREFECT_UI_ENABLED"], plain["A_SETTING"]) == ("0", "the environment's")
    assert (told["A_SETTING"], told["PYTHONSAFEPATH"]) == ("ours", "2")


def test_a_server_that_ends_at_once_is_started_three_times(home: Path, server: ServerProcess) -> None:
    """After three starts the error has the server's last message and names its log."""
    (home / "ends at once").touch()

    with pytest.raises(ServiceError, match=r"does not start: ValueError: the database is of no use\. .*server\.log"):
        server.wait()
    assert len(servers.starts(home)) == 3
    assert not server.is_alive()


def test_a_full_disk_is_the_reason_before_what_an_old_log_says(
    home: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the log keeps nothing of the server, and its last line may be of another day."""

    def fail(**_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (home / "ends at once").touch()
    monkeypatch.setattr("tempfile.TemporaryFile", fail)

    with pytest.raises(ServiceError, match=r"does not start: its folder cannot be written \(No space left on device\)"):
        server.wait()


def test_the_second_start_checks_the_whole_database(
    home: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged database that passes the first check is set aside at the second start, which succeeds."""
    monkeypatch.setenv("PREFECT_HOME", "restored afterwards")
    _use_as_home(home)
    _broken_database(home / "prefect.db")
    server.wait()

    assert len(servers.starts(home)) == 2
    assert [path.name.startswith("prefect.db.set-aside") for path in home.glob("prefect.db*")] == [True]


def _broken_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table flow_run (name text)")
        database.executemany("insert into flow_run values (?)", (("x" * 1000,) for _ in range(100)))
    data = bytearray(file.read_bytes())
    data[3 * 4096 :] = bytes(len(data) - 3 * 4096)
    file.write_bytes(data)


def test_a_server_that_never_answers_is_ended(
    home: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer in time is ended, three times, and the error says how long that is."""
    (home / "takes its time").touch()
    monkeypatch.setenv(TIMEOUT, "0.4")

    with pytest.raises(ServiceError, match=rf"did not answer within 0.4 s, .* busy; .*, or set {TIMEOUT} to more"):
        server.wait()
    assert len(servers.starts(home)) == 3
    assert not any(Path(f"/proc/{start['pid']}").exists() for start in servers.starts(home))


def test_a_port_that_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ports, of which one is in use, the free one is always chosen."""
    with socket.socket() as taken:
        with socket.socket() as other:
            for one in (taken, other):
                one.bind(("127.0.0.1", 0))
            free = other.getsockname()[1]
        monkeypatch.setattr(run_server, "PORTS", (taken.getsockname()[1], free))

        assert {run_server._free_port() for _ in range(20)} == {free}


@pytest.mark.parametrize("function", ["connect", "bind"])
def test_a_machine_without_loopback_is_named(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """Without a loopback interface, or with one that has no IPv4 address, the error says so at once."""

    def fail(_self: socket.socket, _address: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    monkeypatch.setattr(socket.socket, function, fail)
    with pytest.raises(ServiceError, match=r"cannot listen on 127\.0\.0\.1 .*Cannot assign requested address.*lo up"):
        run_server._free_port()
