"""servers.service_server: the server of `nst serve`, from its start to its end."""

import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.errors import ServiceError
from flows.prefect_layer.servers import run_server
from flows.prefect_layer.servers.named_server import answers, check_named_server
from flows.prefect_layer.servers.run_server import ServerProcess
from flows.prefect_layer.servers.service_server import SETTINGS, _reachable, server
from tests.flows import servers

SERVING = """
import sys, time
sys.executable = {interpreter!r}
from flows.prefect_layer.servers.service_server import server
with server("127.0.0.1", {port}, {folder!r}) as access:
    print(access.url, flush=True)
    time.sleep(600)
"""


def _becomes_silent(url: str, seconds: float = 20.0) -> bool:
    ends = time.monotonic() + seconds
    while answers(url) and time.monotonic() < ends:
        time.sleep(0.02)
    return not answers(url)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_the_server_of_a_service_that_is_killed_ends_too(home: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """However the service ends, its server ends too, so that its port is free for the next one."""
    program = SERVING.format(interpreter=sys.executable, port=run_server._free_port(), folder=str(home))
    python = str(Path(sys.prefix) / "bin" / "python")
    serving = subprocess.Popen(
        [python, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        # If the tests run under nohup, SIGHUP is ignored by the processes that they start too.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  # nothing else runs in it
    )
    assert serving.stdout is not None
    with serving.stdout:
        url = serving.stdout.readline().strip()
        assert answers(url)
        serving.send_signal(sent)
        serving.wait(20)

    assert _becomes_silent(url)


def test_the_server_ends_with_the_block(home: Path) -> None:
    """After the block neither the server nor its watcher runs, which could end another process of the same id."""
    before = _children()
    with server("127.0.0.1", run_server._free_port(), str(home)) as access:
        assert answers(access.url)
        own = _children() - before
    assert len(own) == 2  # the server and its watcher

    assert not answers(access.url)
    assert _children() & own == set()
    assert len(servers.starts(home)) == 1


def test_the_server_of_a_service_remembers_runs_across_an_outage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts with the settings that let it find dead runs after a restart; one that the user has set is kept."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    own = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"
    monkeypatch.setenv(own, "86400")
    with server("127.0.0.1", run_server._free_port(), str(home)):
        (start,) = servers.starts(home)

    assert {name: start["environment"].get(name) for name in SETTINGS} == {**SETTINGS, own: "86400"}


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_a_server_that_cannot_be_started_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system starts no process, the error says so, for the server of a run and of a service."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ServiceError, match=r"no process for the Prefect server could be started .*No such file"):
        ServerProcess(home).begin()
    service = server("127.0.0.1", run_server._free_port(), str(home))
    with pytest.raises(ServiceError, match=r"no process for the Prefect server could be started .*No such file"):
        service.__enter__()


def test_the_reason_of_a_server_that_ends_is_one_line(home: Path) -> None:
    """The server's log has no lines broken at a terminal's width, of which the error would have the last part alone."""
    (home / "ends at once").touch()
    with (
        pytest.raises(ServiceError, match=r"the Prefect server ended: ValueError: the database is of no use\. Its"),
        server("127.0.0.1", run_server._free_port(), str(home)),
    ):
        pass

    assert int(servers.starts(home)[0]["environment"]["COLUMNS"]) >= 500


def test_the_api_of_a_service_may_have_another_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is set for a reverse proxy in front of the service is that of its API for its own clients too."""
    monkeypatch.setenv("PREFECT_SERVER_API_BASE_PATH", "/prefect/api")
    port = run_server._free_port()

    with server("127.0.0.1", port, str(home)) as access:
        assert access.url == f"http://127.0.0.1:{port}/prefect/api"
        assert answers(access.url)


@pytest.fixture
def ssh_server() -> Iterator[int]:
    """The port of a server that answers every request as an SSH server does."""

    class Banner(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Banner) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_address[1]
        found.shutdown()


def test_a_server_of_another_protocol_is_none_of_prefects(ssh_server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers, but not in HTTP, counts as no answer; named as the service's server, it is refused by name."""
    url = f"http://127.0.0.1:{ssh_server}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)

    assert not answers(url)
    with pytest.raises(ServiceError, match=f"{url}: the Prefect server does not answer .*SSH-2.0"):
        check_named_server()


def test_an_address_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line end of Windows after the address, as a file of variables may have it, is refused and not a crash."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api\r")

    with pytest.raises(ServiceError, match=r"the Prefect server does not answer .*control characters"):
        check_named_server()


@pytest.mark.parametrize("host", ["::", "::1"])
def test_the_address_of_a_server_on_ipv6_is_in_brackets(host: str) -> None:
    """The URL of a server that listens on an IPv6 address has it in brackets; `::` is reached by loopback."""
    assert _reachable(host) == "[::1]"
