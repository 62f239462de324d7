"""All deployments of `deploy/prefect.yaml` served by one process, for a single machine.

A runner per work pool, one run at a time each: runs that stylize never share a GPU, and visits to the inboxes go on
beside them.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, State
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectException
from prefect.flows import load_flow_from_entrypoint
from prefect.runner import Runner
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.templating import apply_values

from flows.environment import show_own_lines
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.yaml_files import made_of_each, read_yaml

logger = logging.getLogger(__name__)

RUNS_AT_ONCE = 1
"""Of each pool."""
STOP_SECONDS = 7.0
"""For runs under way to write their tables, once the service is told to end."""


AUTOMATIONS = "automations.yaml"
"""Beside the deployments; there need be none."""


def serve(path: Path, is_up: Callable[[], None] = lambda: None) -> None:
    """Serve the deployments of a file until SIGTERM or Ctrl-C, or until its terminal is closed.

    Runs under way are stopped, and go on where they were when the service is started again.

    Args:
        path: of the file.
        is_up: called once the server knows them all.
    """
    show_own_lines()
    _spare_runs_a_closing_terminal()
    asyncio.run(_serve(deployments_of(path), automations_of(path.with_name(AUTOMATIONS)), is_up))


def _spare_runs_a_closing_terminal() -> None:
    """Of a terminal that is closed the whole group hears, and runs would die of it: we alone are to, and stop them.

    Processes that are started from here on have the signal blocked, as this thread has; another thread takes it.
    """
    if hasattr(signal, "pthread_sigmask"):
        threading.Thread(target=threading.Event().wait, name="signals", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def deployments_of(path: Path) -> list[tuple[str, RunnerDeployment]]:
    """The deployments of a `prefect.yaml`, each with its work pool.

    Raises:
        OutputError: if it cannot be used; with the line.
    """
    described: Any = apply_values(read_yaml(path), {}, remove_notset=False)
    return made_of_each(path, described, "deployments", lambda one: (one["work_pool"]["name"], _deployment(one)))


def _deployment(described: dict[str, Any]) -> RunnerDeployment:
    check_parameters(described.get("parameters") or {})
    flow: Flow[..., Any] = load_flow_from_entrypoint(described["entrypoint"], use_placeholder_flow=False)
    limit = described.get("concurrency_limit")
    made = flow.to_deployment(
        described["name"],
        description=described.get("description"),
        tags=described.get("tags"),
        parameters=described.get("parameters"),
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        schedules=[_schedule(one) for one in described.get("schedules", ())],
        enforce_parameter_schema=described.get("enforce_parameter_schema", True),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def _schedule(described: dict[str, Any]) -> DeploymentScheduleCreate:
    timing = {name: described[name] for name in ("cron", "interval", "timezone") if name in described}
    return DeploymentScheduleCreate(
        schedule=CronSchedule(**timing) if "cron" in timing else IntervalSchedule(**timing),
        active=described.get("active", True),
        slug=described.get("slug"),
        parameters=described.get("parameters", {}),
    )


def automations_of(path: Path) -> list[AutomationCore]:
    """The automations of a file, as `prefect automation create --from-file` takes it."""
    if not path.is_file():
        return []
    return made_of_each(path, read_yaml(path), "automations", AutomationCore.model_validate)


async def _automate(automations: list[AutomationCore]) -> None:
    """Have the server do by itself what it does not do yet; older ones of the same name go."""
    async with get_client() as client:
        for automation in automations:
            for old in await client.read_automations_by_name(automation.name):
                await client.delete_automation(old.id)
            await client.create_automation(automation)


async def _serve(
    deployments: list[tuple[str, RunnerDeployment]], automations: list[AutomationCore], is_up: Callable[[], None]
) -> None:
    await _automate(automations)
    runners: dict[str, Runner] = {}
    for pool, deployment in deployments:
        runner = runners.setdefault(pool, Runner(name=pool, limit=RUNS_AT_ONCE))
        await runner.aadd_deployment(deployment)
        logger.info("serving %s/%s", deployment.flow_name, deployment.name)
    is_up()
    tasks = [asyncio.create_task(runner.start()) for runner in runners.values()]
    await asyncio.sleep(0)  # each start sets a handler of its own, of which only the last one's runner would end
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:  # as nohup has SIGHUP
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    interrupted = await _stop_runs(list(runners.values()))
    for task in (waiting, *tasks):
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await _start_again_later(interrupted)
    for outcome in outcomes:
        if isinstance(outcome, Exception):  # a runner that ended by itself
            raise outcome


async def _stop_runs(runners: list[Runner]) -> list[UUID]:
    """Ask the processes of all runs to stop, and give them time to write their tables; the runs' ids.

    Prefect's runner kills them at once when it is itself told to end.
    """
    running = {run_id: one for runner in runners for run_id, one in runner._process_manager._process_map.items()}
    for process in running.values():
        process.graceful_kill()
    ends = time.monotonic() + STOP_SECONDS
    while time.monotonic() < ends and any(process.is_alive() for process in running.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # a process that ends sets no event
    return list(running)


async def _start_again_later(run_ids: list[UUID]) -> None:
    """Have runs that were stopped wait for the next start of the service; a visit to the inboxes comes by itself."""
    async with get_client() as client:
        for run_id in run_ids:
            try:
                run = await client.read_flow_run(run_id)
                if run.state is None or run.state.is_completed() or run.state.is_cancelled():
                    continue
                later: State[Any] = Scheduled(
                    name="AwaitingRetry", message="the service was stopped; it goes on where it was"
                )
                await client.set_flow_run_state(run_id, later, force=True)
            except (httpx.HTTPError, PrefectException) as error:
                logger.warning("run %s was stopped, and has to be submitted again: %s", run_id, error)
