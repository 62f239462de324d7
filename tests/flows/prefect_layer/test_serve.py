"""flows.prefect_layer.serve: what `nst serve` finds and changes on a server at its start and at its end."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import prefect
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.automations import AutomationCore
from prefect.server.events.schemas.automations import Automation, AutomationCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Completed, Crashed, Pending, Running, State

from flows.prefect_layer.serve import _create_automations, _interrupted_runs, _start_again_later, automations_of

AUTOMATIONS = Path(__file__).parents[3] / "deploy" / "automations.yaml"


class Api:
    """A stand-in for the parts of Prefect's API that the service uses, with the server's own types of automations."""

    def __init__(self) -> None:
        self.automations: dict[UUID, Automation] = {}
        self.runs: dict[UUID, FlowRun] = {}

    def add_run(self, deployment: UUID, state: State[Any]) -> UUID:
        run = FlowRun(id=uuid4(), flow_id=uuid4(), deployment_id=deployment, state=state, state_type=state.type)
        self.runs[run.id] = run
        return run.id

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/admin/version":
            return 200, prefect.__version__
        if path == "/api/automations/filter":
            wanted = body["automations"]["name"]["any_"]
            return 200, [one.model_dump(mode="json") for one in self.automations.values() if one.name in wanted]
        if path == "/api/automations/":
            created = Automation(id=uuid4(), **AutomationCreate.model_validate(body).model_dump())
            self.automations[created.id] = created
            return 201, created.model_dump(mode="json")
        if method == "DELETE" and path.startswith("/api/automations/"):
            del self.automations[UUID(path.rpartition("/")[2])]
            return 204, None
        if path == "/api/flow_runs/filter":
            return 200, [run.model_dump(mode="json") for run in self.runs.values() if _is_wanted(run, body)]
        if found := re.fullmatch("/api/flow_runs/([0-9a-f-]+)(/set_state)?", path):
            run = self.runs[UUID(found[1])]
            if not found[2]:
                return 200, run.model_dump(mode="json")
            assert body["force"]
            run.state = State[Any].model_validate(body["state"])
            return 200, {"state": body["state"], "status": "ACCEPT", "details": {"type": "accept_details"}}
        return 422, {"detail": "CSRF protection is disabled."}


def _is_wanted(run: FlowRun, body: Any) -> bool:
    chosen = body["flow_runs"]
    assert run.state is not None
    after = (chosen.get("end_time") or {}).get("after_")
    return (
        str(run.deployment_id) in chosen["deployment_id"]["any_"]
        and run.state.type.value in chosen["state"]["type"]["any_"]
        and (after is None or run.state.timestamp >= datetime.fromisoformat(after))
    )


@pytest.fixture
def api() -> Iterator[Api]:
    """The stand-in, at the address that Prefect's client uses."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, content = api.answer(self.command, self.path, json.loads(self.rfile.read(length) or "null"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"" if status == 204 else json.dumps(content).encode())

        do_POST = do_DELETE = do_GET  # noqa: N815  # the names are the library's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
            yield api
        server.shutdown()


def test_unchanged_automations_are_kept(api: Api) -> None:
    """A second start keeps the automations, with whose deletion the server would forget the runs that it watches.

    A service that is the only executor of the runs has continued them, so that the server is to forget them.
    """
    automations = automations_of(AUTOMATIONS)
    asyncio.run(_create_automations(automations, anew=False))
    first = list(api.automations)
    asyncio.run(_create_automations(automations, anew=False))
    kept = list(api.automations)
    asyncio.run(_create_automations(automations, anew=True))

    assert len(first) == len(automations) > 0
    assert kept == first
    assert len(api.automations) == len(automations)
    assert not api.automations.keys() & first


def test_a_changed_automation_is_replaced(api: Api) -> None:
    """An automation of another version is replaced, and one that is there twice is kept once."""
    automation = automations_of(AUTOMATIONS)[0]
    other = AutomationCore.model_validate(automation.model_dump() | {"description": "of an earlier version"})
    asyncio.run(_create_automations([other], anew=False))
    (old,) = api.automations
    copy = api.automations[old].model_copy(update={"id": uuid4()})
    api.automations[copy.id] = copy
    asyncio.run(_create_automations([automation], anew=False))

    (new,) = api.automations.values()
    assert new.id not in (old, copy.id)
    assert new.description == automation.description


def test_runs_that_a_dead_service_left_are_started_again(api: Api) -> None:
    """Runs of the served deployments that are under way without a service wait for it again; others are left alone.

    So do runs that the server has called dead since it was started with the service.
    """
    served, other = uuid4(), uuid4()
    before = api.add_run(served, Crashed())
    since = datetime.now(UTC)
    left = [api.add_run(served, state) for state in (Pending(), Running(), Crashed())]
    cancelling = api.add_run(served, Cancelling())
    ended, foreign = api.add_run(served, Completed()), api.add_run(other, Running())
    found = asyncio.run(_interrupted_runs([served], since))
    asyncio.run(_start_again_later(found, "the service had died"))
    names = {run_id: run.state.name for run_id, run in api.runs.items() if run.state}

    assert names == {
        before: "Crashed",
        **dict.fromkeys(left, "AwaitingRetry"),
        cancelling: "Cancelled",
        ended: "Completed",
        foreign: "Running",
    }
    assert api.runs[left[0]].state.message == "the service had died; it goes on where it was"
