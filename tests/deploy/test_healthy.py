"""deploy/healthy.py: the health check of the containers."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

HEALTHY = Path(__file__).parents[2] / "deploy" / "healthy.py"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def is_healthy(port: int, path: str) -> bool:
    command = [sys.executable, HEALTHY, str(port), path]
    outcome = subprocess.run(command, capture_output=True, env={"http_proxy": "http://127.0.0.1:9"}, check=False)
    return outcome.returncode == 0


def test_only_status_200_is_healthy(port: int) -> None:
    """A server that answers 200 is healthy, one with another status is not; the environment's proxy is not used."""
    assert is_healthy(port, "/health")
    assert not is_healthy(port, "/other")


def test_a_port_on_which_nothing_listens_is_not_healthy() -> None:
    """The health check fails where no server listens."""
    assert not is_healthy(9, "/health")
