"""flows.cli.submit: `nst submit --wait` follows a run while its server is restarted."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import prefect
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Running

from flows.cli import submit
from flows.errors import ServerUnavailable

RUN = str(uuid4())
GONE, FAILS = "gone", 500
"""What the stand-in for a server does with a request: close the connection without an answer, or answer with 500."""
Serving = Callable[[list[object]], None]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Return a function with which a stand-in for a server answers with the given states of a run, in order."""
    monkeypatch.setattr(submit, "POLL_SECONDS", 0.01)
    planned: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            if self.path.endswith("/admin/version"):
                self.answer(200, prefect.__version__)
            elif self.path.endswith("/logs/filter"):
                self.answer(200, [])
            elif "csrf" in self.path:
                self.answer(422, {"detail": "CSRF protection is disabled."})
            elif (state := planned.pop(0) if len(planned) > 1 else planned[0]) == GONE:
                self.close_connection = True
            elif state == FAILS:
                self.answer(500, {"detail": "the database is starting"})
            else:
                run = FlowRun(id=RUN, flow_id=uuid4(), state=state)
                self.answer(200, run.model_dump(mode="json"))

        do_POST = do_GET  # noqa: N815  # the name is the library's

        def answer(self, status: int, content: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/api"
        with temporary_settings({PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: 0}):
            yield planned.extend
        server.shutdown()


@pytest.mark.parametrize("failure", [GONE, FAILS])
def test_a_run_is_followed_beyond_a_restart_of_its_server(
    serving: Serving, capsys: pytest.CaptureFixture[str], failure: object
) -> None:
    """A server that does not answer, or fails, for a while is mentioned once; then the run is followed to its end."""
    serving([Running(), failure, failure, Running(), Completed()])
    state = submit._followed(RUN)
    said = capsys.readouterr().err

    assert state.is_complete_success
    assert said.count("It is asked again for 300 s") == 1


def test_a_server_that_stays_away_ends_the_following(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer for the whole time is an error of its own, unlike a refusal."""
    monkeypatch.setattr(submit, "PATIENCE_SECONDS", 0.05)
    serving([Running(), GONE])

    with pytest.raises(ServerUnavailable, match="the Prefect server does not answer"):
        submit._followed(RUN)
