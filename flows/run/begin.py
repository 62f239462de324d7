"""Begin a run: take the output's lease, plan the run and start its workers.

This works without Prefect: the command begins a run before it loads Prefect, and does not need Prefect if nothing is
left to do. Otherwise it hands the begun run over to the flow. The flow begins a run itself if it was started in any
other way, such as by a deployment.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from flows.output import lease
from flows.run.prepare import PreparedRun, places_of, prepare_run
from flows.run.request import RunArguments, RunRequest, resolve
from flows.runners import Pool, runner_of
from flows.wording import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BegunRun:
    """A planned run that holds its output's lease and has workers.

    Attributes:
        run: the planned run.
        pool: the pool of its workers, which are starting; None if nothing is left to do.
        hold: the lease of the output; if another run takes it over, the workers are stopped.
    """

    run: PreparedRun
    pool: Pool | None
    hold: lease.Held


@contextmanager
def begun(request: RunRequest) -> Iterator[BegunRun]:
    """Hold the output's lease, plan the run and start its workers, for as long as the block lasts.

    Raises:
        OutputBusy: if another run holds the output, or takes it over while this one is planned, or was made since a
            retry was requested.
        OptionsError, ClusterError: if the device or the cluster that was requested is not available.
        WeightsError, StorageError, ManifestError: if the run cannot be planned; no pair has been begun then.
    """
    settings = request.settings
    with (
        request.limits.writing(request.output),
        lease.held(request.output, settings.wait_for_output_seconds, take_over=settings.take_over) as hold,
        runner_of(settings) as runner,
    ):
        run = prepare_run(request, runner.means, hold.check)
        if not run.plan.batches:
            yield BegunRun(run, None, hold)
            return
        runner.warn_of(places_of(run))
        with runner.pool(len(run.plan.batches)) as pool:
            hold.when_lost(pool.stop)
            yield BegunRun(run, pool, hold)


_handed_over: ContextVar[BegunRun | None] = ContextVar("handed_over", default=None)


@contextmanager
def hand_over(run: BegunRun) -> Iterator[None]:
    """Let `handed_or_begun` return this run for the same request in this context, for as long as the block lasts."""
    token = _handed_over.set(run)
    try:
        yield
    finally:
        _handed_over.reset(token)


@contextmanager
def handed_or_begun(arguments: RunArguments, *, strict: bool) -> Iterator[BegunRun]:
    """Yield the run that was handed over if it was begun for this same request; otherwise begin one here.

    Args:
        arguments: the caller's request.
        strict: whether addresses that the operator's limits do not list are refused, see `resolve`.

    Raises:
        NstError: as `resolve` and `begun` do.
    """
    handed = _handed_over.get()
    if handed is not None:
        differences = _differences(handed, arguments, strict=strict)
        if not differences:
            yield handed
            return
        logger.warning(
            "the run that was begun for %s is not used, as the flow was called with other values of: %s; a second run "
            "begins",
            printable(handed.run.request.output),
            ", ".join(differences),
        )
    with begun(resolve(arguments, strict=strict)) as run:
        yield run


def _differences(handed: BegunRun, arguments: RunArguments, *, strict: bool) -> list[str]:
    """Return the names of what differs between the request of a run that was handed over and another request."""
    request = handed.run.request
    names = [
        field.name
        for field in fields(RunArguments)
        if getattr(request.arguments, field.name) != getattr(arguments, field.name)
    ]
    return names if request.limits.strict == strict else [*names, "strict"]
