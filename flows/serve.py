"""All deployments of `deploy/prefect.yaml` served by one process, for a single machine.

A runner per work pool, one run at a time each: runs that stylize never share a GPU, and visits to the inboxes go on
beside them.
"""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.templating import apply_values

from flows.environment import show_own_lines

logger = logging.getLogger(__name__)

RUNS_AT_ONCE = 1
"""Of each pool."""


def serve(path: Path) -> None:
    """Serve the deployments of a file until SIGTERM or Ctrl-C; runs under way are stopped and can be gone on with."""
    show_own_lines()
    asyncio.run(_serve(deployments_of(path)))


def deployments_of(path: Path) -> list[tuple[str, RunnerDeployment]]:
    """The deployments of a `prefect.yaml`, each with its work pool."""
    described: Any = apply_values(yaml.safe_load(path.read_text()), {}, remove_notset=False)
    return [(one["work_pool"]["name"], _deployment(one)) for one in described["deployments"]]


def _deployment(described: dict[str, Any]) -> RunnerDeployment:
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


async def _serve(deployments: list[tuple[str, RunnerDeployment]]) -> None:
    runners: dict[str, Runner] = {}
    for pool, deployment in deployments:
        runner = runners.setdefault(pool, Runner(name=pool, limit=RUNS_AT_ONCE))
        await runner.aadd_deployment(deployment)
        logger.info("serving %s/%s", deployment.flow_name, deployment.name)
    tasks = [asyncio.create_task(runner.start()) for runner in runners.values()]
    await asyncio.sleep(0)  # each start sets a handler of its own, of which only the last one's runner would end
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    await asyncio.gather(*tasks)
