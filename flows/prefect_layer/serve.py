"""Serve all deployments of `deploy/prefect.yaml` from one process, on a single machine.

Each work pool gets a Prefect runner with one run at a time: two stylizing runs never share a GPU, while visits to the
inboxes, which have a pool of their own, go on at the same time.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, State, StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectException
from prefect.flows import load_flow_from_entrypoint
from prefect.runner import Runner
from prefect.states import Cancelled, Scheduled
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.templating import apply_values

from flows.environment import show_own_lines
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.yaml_files import build_each, read_yaml

logger = logging.getLogger(__name__)

RUNS_AT_ONCE = 1
"""How many runs of each pool are executed at a time."""
STOP_SECONDS = 7.0
"""How long runs under way have to write their tables once the service is stopped."""


AUTOMATIONS = "automations.yaml"
"""The file of automations next to that of the deployments; it is optional."""


def serve(path: Path, on_up: Callable[[], None] = lambda: None, *, sole_since: datetime | None = None) -> None:
    """Serve the deployments of a file until SIGTERM or Ctrl-C, or until the terminal is closed.

    Runs under way are then stopped, and continue where they were when the service is started again.

    Args:
        path: the file, a `prefect.yaml`.
        on_up: called once all deployments are registered with the server.
        sole_since: a time before the start of the server, if nothing else executes its runs; None if others may. Runs
            that are still under way according to the server were then interrupted by the death of an earlier service,
            and are continued.
    """
    show_own_lines()
    _keep_hangups_from_runs()
    automations = automations_of(path.with_name(AUTOMATIONS))
    asyncio.run(_serve(deployments_of(path), automations, on_up, sole_since))


def _keep_hangups_from_runs() -> None:
    """Block SIGHUP in the processes that we start; this process still receives it, and stops the runs in order.

    When a terminal is closed, its whole process group gets SIGHUP, which would kill runs. A child inherits the mask of
    the thread that starts it, so this thread blocks the signal, and a thread that does nothing else receives it.
    """
    if hasattr(signal, "pthread_sigmask"):
        threading.Thread(target=threading.Event().wait, name="signals", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def deployments_of(path: Path) -> list[tuple[str, RunnerDeployment]]:
    """Read a `prefect.yaml`, and return its deployments, each after the name of its work pool.

    Raises:
        OutputError: if the file cannot be used; the message gives the line.
    """
    content: Any = apply_values(read_yaml(path), {}, remove_notset=False)
    return build_each(path, content, "deployments", lambda entry: (entry["work_pool"]["name"], _deployment(entry)))


def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    check_parameters(entry.get("parameters") or {})
    flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    limit = entry.get("concurrency_limit")
    deployment = flow.to_deployment(
        entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        parameters=entry.get("parameters"),
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        schedules=[_schedule(schedule) for schedule in entry.get("schedules", ())],
        enforce_parameter_schema=entry.get("enforce_parameter_schema", True),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)
    return deployment


def _schedule(entry: dict[str, Any]) -> DeploymentScheduleCreate:
    timing = {name: entry[name] for name in ("cron", "interval", "timezone") if name in entry}
    # A field that is not given keeps its value on the server: a schedule that was paused there stays paused.
    given = {name: entry[name] for name in ("active", "slug", "parameters") if name in entry}
    return DeploymentScheduleCreate(
        schedule=CronSchedule(**timing) if "cron" in timing else IntervalSchedule(**timing), **given
    )


def automations_of(path: Path) -> list[AutomationCore]:
    """Return the automations of a file in the format of `prefect automation create --from-file`; none if it is missing.

    Raises:
        OutputError: if the file cannot be used; the message gives the line.
    """
    if not path.is_file():
        return []
    return build_each(path, read_yaml(path), "automations", AutomationCore.model_validate)


async def _create_automations(automations: list[AutomationCore], *, anew: bool) -> None:
    """Create automations on the server; others of the same names are deleted.

    With an automation the server deletes what it has noted for it, such as the runs whose signs of life it waits for.

    Args:
        automations: the automations.
        anew: whether to replace an identical automation on the server too, instead of keeping it.
    """
    async with get_client() as client:
        for automation in automations:
            found = await client.read_automations_by_name(automation.name)
            kept = None if anew else next((old for old in found if _is_same(old, automation)), None)
            for old in found:
                if old is not kept:
                    await client.delete_automation(old.id)
            if kept is None:
                await client.create_automation(automation)


def _is_same(old: AutomationCore, new: AutomationCore) -> bool:
    fields = set(AutomationCore.model_fields)  # without the id and the times that the server has added
    return old.model_dump(include=fields) == new.model_dump(include=fields)


async def _serve(
    deployments: list[tuple[str, RunnerDeployment]],
    automations: list[AutomationCore],
    on_up: Callable[[], None],
    sole_since: datetime | None,
) -> None:
    # A run that this service continues would be marked as dead for the signs of life that the dead one owed.
    await _create_automations(automations, anew=sole_since is not None)
    runners: dict[str, Runner] = {}
    served: list[UUID] = []
    for pool, deployment in deployments:
        runner = runners.setdefault(pool, Runner(name=pool, limit=RUNS_AT_ONCE))
        served.append(await runner.aadd_deployment(deployment))
        logger.info("serving %s/%s", deployment.flow_name, deployment.name)
    if sole_since is not None:
        await _start_again_later(await _interrupted_runs(served, sole_since), "the service had died")
    on_up()
    tasks = [asyncio.create_task(runner.start()) for runner in runners.values()]
    # Let each runner set its signal handler, of which only the last would take effect: ours replace them below.
    await asyncio.sleep(0)
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:  # nohup, for one, ignores SIGHUP
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    interrupted = await _stop_runs(list(runners.values()))
    for task in (waiting, *tasks):
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await _start_again_later(interrupted, "the service was stopped")
    for outcome in outcomes:
        if isinstance(outcome, Exception):  # a runner that ended by itself
            raise outcome


async def _stop_runs(runners: list[Runner]) -> list[UUID]:
    """Ask the processes of all runs to stop, give them time to write their tables, and return the runs' ids.

    Prefect's runner would kill them at once when it is stopped itself.
    """
    running = {
        run_id: process for runner in runners for run_id, process in runner._process_manager._process_map.items()
    }
    for process in running.values():
        process.graceful_kill()
    ends = time.monotonic() + STOP_SECONDS
    while time.monotonic() < ends and any(process.is_alive() for process in running.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # polled, as the end of a process sets no event
    return list(running)


async def _interrupted_runs(deployment_ids: list[UUID], since: datetime) -> list[UUID]:
    """Return the runs of deployments that are under way according to the server, or that it has called dead since."""
    ids = FlowRunFilterDeploymentId(any_=deployment_ids)
    wanted = [
        FlowRunFilter(deployment_id=ids, state=_is_in(StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)),
        FlowRunFilter(deployment_id=ids, state=_is_in(StateType.CRASHED), end_time=FlowRunFilterEndTime(after_=since)),
    ]
    async with get_client() as client:
        return [run.id for one in wanted for run in await client.read_flow_runs(flow_run_filter=one)]


def _is_in(*types: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


async def _start_again_later(run_ids: list[UUID], reason: str) -> None:
    """Reschedule runs that were interrupted, so that they wait for a runner of this service, or of its next start.

    One that was being cancelled is cancelled. A visit to the inboxes would also come again by its schedule.

    Args:
        run_ids: the runs.
        reason: why they were interrupted.
    """
    async with get_client() as client:
        for run_id in run_ids:
            try:
                run = await client.read_flow_run(run_id)
                if run.state is None or run.state.is_completed() or run.state.is_cancelled():
                    continue
                state: State[Any] = (
                    Cancelled(message=f"{reason} while the run was being cancelled")
                    if run.state.is_cancelling()
                    else Scheduled(name="AwaitingRetry", message=f"{reason}; it goes on where it was")
                )
                await client.set_flow_run_state(run_id, state, force=True)
            except (httpx.HTTPError, PrefectException) as error:
                logger.warning("%s; run %s has to be submitted again: %s", reason, run_id, error)
