"""flows.prefect_layer.deployment_runs: unusable answers of a server are reported in one sentence each."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.errors import ServiceError
from flows.prefect_layer.deployment_runs import named_answers

Answering = Callable[[int, str], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Return a function that starts a server with one answer to every request, and returns its API's address."""
    servers = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/api"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _ask(url: str) -> None:
    """Send Prefect's first request, as a flow does."""
    with temporary_settings({PREFECT_API_URL: url}), named_answers(), get_client(sync_client=True) as client:
        client.raise_for_api_version_mismatch()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, "", "the server refuses these credentials; set PREFECT_API_AUTH_STRING"),
        (403, "", "the server refuses these credentials; set PREFECT_API_AUTH_STRING"),
        (404, "", "expected Prefect's API, found 404, no such page; PREFECT_API_URL is to name it"),
        (200, "<html>", "expected Prefect's API, found another answer; PREFECT_API_URL is to name it"),
        (200, '"2.19.0"', "or another one of its major version, found one that does not go with it"),
    ],
)
def test_an_unusable_server_is_reported_in_one_sentence(
    answering: Answering, status: int, body: str, message: str
) -> None:
    """Wrong credentials, another program or an incompatible Prefect are reported with the address of the server."""
    url = answering(status, body)

    with pytest.raises(ServiceError) as caught:
        _ask(url)
    assert str(caught.value).startswith(f"{url}: ")
    assert message in str(caught.value)


def test_a_server_that_does_not_answer_is_named() -> None:
    """If no server answers at the address, the error says so and names the address."""
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9/api: the Prefect server does not answer \(ConnectError\)"):
        _ask("http://127.0.0.1:9/api")


def test_other_errors_pass_unchanged() -> None:
    """An error that is not a server's answer is not changed."""
    with pytest.raises(RuntimeError, match="of another kind"), named_answers():
        raise RuntimeError("of another kind")
