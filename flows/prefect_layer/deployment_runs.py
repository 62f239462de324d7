"""A client of the Prefect API for runs of a deployment: start one, and read its state and its log.

This module does not import torch.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import prefect
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.utilities.urls import url_for

from flows.errors import RequestRefused, ServerUnavailable, ServiceError, kinds_of
from flows.inbox import Runs, StartRequest
from flows.prefect_layer.deployments import STYLIZE
from flows.prefect_layer.parameters import check_parameters
from flows.records.runs import RunState, Stage
from flows.wording import redacted
from nst_core.errors import NstError

PAGE_SECONDS = 3.0
"""How long the server has to answer with a page of its UI."""
LOG_LINES = 200
"""The most log lines that the API returns for one request."""
_OTHER_VERSION, _NOT_REACHED = "Found incompatible versions", "Failed to reach API"
"""Parts of the messages of Prefect's RuntimeErrors by which they are recognised."""
_RAISED = re.compile(r"encountered an exception:? *(?:[\w.]+\.)?(\w+)(?:: *(.*))?", re.DOTALL)
"""Matches an exception in a state's message: the name of its class, its text."""
_FINAL: dict[StateType, Stage] = {
    StateType.COMPLETED: "ended",
    StateType.FAILED: "failed",
    StateType.CRASHED: "failed",
    StateType.CANCELLED: "cancelled",
}
"""Our stage for each of Prefect's final states."""


def start_run(deployment: str, parameters: dict[str, Any], *, name: str | None = None, key: str | None = None) -> str:
    """Start a run of a deployment, and return the run's id.

    Args:
        deployment: its name, as <flow>/<deployment>.
        parameters: the parameters of the flow.
        name: the run's name; by default Prefect chooses one.
        key: an idempotency key: if it was used before, no run is started, and the id of the earlier one is returned.

    Raises:
        NotAllowed: if a parameter holds a credential; nothing was sent.
        RequestRefused: if the deployment does not exist, or the parameters are not of its types.
        ServiceError: if the server does not answer.
    """
    check_parameters(parameters)
    with named_errors(), get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound as error:
            raise RequestRefused(
                f"{deployment}: the server knows no such deployment; deploy/RUNBOOK.md says how it is deployed"
            ) from error
        run = client.create_flow_run_from_deployment(found.id, parameters=parameters, name=name, idempotency_key=key)
    return str(run.id)


def state_of(run_id: str) -> RunState:
    """Return the state of a run; a run that the server does not know any more counts as failed.

    Raises:
        ServiceError: if the server does not answer.
    """
    with named_errors(), get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run_id)).state
        except ObjectNotFound:
            return _run_state("failed", "Unknown", f"the server does not know the run {run_id} any more")
    return run_state(state)


def log_lines(run_id: str, after: int) -> list[str]:
    """Return the messages of a run's log from number `after` on, at most `LOG_LINES`, as far as the server has them.

    Raises:
        ServiceError: if the server does not answer.
    """
    with named_errors(), get_client(sync_client=True) as client:
        chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
        logs = client.read_logs(chosen, limit=LOG_LINES, offset=after, sort=LogSort.TIMESTAMP_ASC)
    return [log.message for log in logs]


def page_of(run_id: str) -> str | None:
    """Return the address of a run's page in Prefect's UI; None if the server has no UI."""
    address = url_for("flow-run", obj_id=run_id)
    if not address:
        return None
    try:
        # Ask for HTML, as a browser does: the server answers other clients differently.
        answer = httpx.get(address, headers={"Accept": "text/html"}, timeout=PAGE_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    is_page = answer.is_success and answer.headers.get("content-type", "").startswith("text/html")
    return address if is_page else None


def runs_of(deployment: str = STYLIZE) -> Runs:
    """Return the functions with which an inbox starts runs of a deployment and reads their states."""

    def start(request: StartRequest) -> str:
        parameters = {
            "manifest": request.manifest,
            "manifest_sha256": request.manifest_sha256,
            "output": request.output,
            "options": request.options.model_dump(mode="json", exclude_unset=True),
            "settings": request.settings.model_dump(mode="json", exclude_unset=True),
        }
        return start_run(deployment, parameters, name=request.name, key=request.key)

    return Runs(start, state_of)


def run_state(state: State[Any] | None) -> RunState:
    """Translate a state of Prefect's, without credentials; a run that has none is waiting."""
    if state is None:
        return _run_state("waiting", "Unknown", "")
    running = state.type in (StateType.RUNNING, StateType.CANCELLING)
    stage = _FINAL.get(state.type, "running" if running else "waiting")
    return _run_state(stage, state.name or state.type.value.title(), redacted(state.message or ""))


def _run_state(stage: Stage, name: str, message: str) -> RunState:
    error = _error_of(name, message) if stage in ("failed", "cancelled") else None
    return RunState(stage, name, message, error, is_complete_success=stage == "ended" and name == "Completed")


def _error_of(name: str, message: str) -> NstError:
    """Return the error that ended a run; a plain `NstError` if it was none of our own classes.

    The Prefect API keeps only the text of an error, so it is recognised by the name of its class.

    >>> _error_of("Failed", "Flow run encountered an exception: ManifestError: no manifest: ...")
    ManifestError('no manifest: ...')
    """
    raised = _RAISED.search(message)
    kinds = {kind.__name__: kind for kind in kinds_of(NstError)}
    if raised and raised[1] in kinds and kinds[raised[1]].__init__ is NstError.__init__:
        return kinds[raised[1]](raised[2] or name)
    return NstError(f"the run ended as {name}: {message or 'without a word'}")


@contextmanager
def named_errors() -> Iterator[None]:
    """Translate the errors of the API client into ours, without credentials; also that the server does not answer.

    Raises:
        ServerUnavailable: if the server does not answer, or fails.
        ServiceError: if its answer is of no use.
        RequestRefused: if the server refuses the request.
    """
    try:
        with named_answers():
            yield
    except httpx.TransportError as error:
        raise _no_answer(error) from error


@contextmanager
def named_answers() -> Iterator[None]:
    """Translate useless answers of a server into our errors; an `httpx.TransportError`, if it does not answer, passes.

    Raises:
        ServerUnavailable: if the server fails.
        ServiceError: if it refuses the credentials, has another version or is not Prefect's API.
        RequestRefused: if the server refuses the request.
    """
    try:
        yield
    except PrefectHTTPStatusError as error:
        raise _refusal(error) from error
    except RuntimeError as error:  # Prefect raises it for its first request to a server
        if str(error).startswith(_OTHER_VERSION):
            raise ServiceError(
                f"{_server()}: expected a server of Prefect {prefect.__version__}, or another one of its major "
                f"version, found one that does not go with it ({redacted(str(error))}). Name one that does in "
                "PREFECT_API_URL, or leave that out"
            ) from error
        if _NOT_REACHED in str(error):
            raise _not_reached(error.__cause__) from error
        raise


def _server() -> str:
    return redacted(str(get_current_settings().api.url or "the Prefect server"))


def _refusal(error: PrefectHTTPStatusError) -> ServiceError:
    answer = f"{_server()}: {error.response.status_code} {_detail(error.response)}"
    if error.response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ServiceError(f"{_server()}: the server refuses these credentials; set PREFECT_API_AUTH_STRING")
    return RequestRefused(answer) if error.response.is_client_error else ServerUnavailable(answer)


def _no_answer(error: BaseException) -> ServerUnavailable:
    return ServerUnavailable(
        f"{_server()}: the Prefect server does not answer ({type(error).__name__}). Start it, or name another one in "
        "PREFECT_API_URL"
    )


def _not_reached(cause: BaseException | None) -> ServiceError:
    """Return the error for Prefect's "Failed to reach API", which it also raises if the server has answered."""
    if isinstance(cause, httpx.TransportError):
        return _no_answer(cause)
    if isinstance(cause, PrefectHTTPStatusError):
        if cause.response.status_code != httpx.codes.NOT_FOUND:
            return _refusal(cause)
        found = "404, no such page"
    else:
        found = "another answer"
    return ServiceError(
        f"{_server()}: expected Prefect's API, found {found}; PREFECT_API_URL is to name it, as in "
        "http://127.0.0.1:4200/api"
    )


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text
    return redacted(str(detail))[:500]
