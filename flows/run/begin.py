"""The beginning of a run: from what was asked to workers that are getting ready, under the output's lease.

No Prefect: the command begins a run first, and needs none where nothing is left to do; it then hands the run over to
the flow, which begins those that come from elsewhere itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flows.output import lease
from flows.run.prepare import PreparedRun, places_of, prepare_run
from flows.run.request import Asked, RunRequest, resolve
from flows.runners import Pool, runner_of


@dataclass(frozen=True)
class BegunRun:
    """A run that is planned and can be carried out.

    Attributes:
        pool: of its workers, which are getting ready; None where nothing is left to do.
        hold: of the output; the workers are stopped where another run takes it over.
    """

    run: PreparedRun
    pool: Pool | None
    hold: lease.Held


@contextmanager
def begun(request: RunRequest) -> Iterator[BegunRun]:
    """Hold the output, plan the run and have its workers start, for as long as the block lasts.

    Raises:
        OutputBusy: if another run holds it.
        OptionsError, ClusterError: if there is nothing to carry it out with.
        WeightsError, StorageError, ManifestError: before anything is done.
    """
    settings = request.settings
    with (
        request.limits.writing(request.output),
        lease.held(request.output, settings.wait_for_output_seconds, take_over=settings.take_over) as hold,
        runner_of(settings) as runner,
    ):
        run = prepare_run(request, runner.means)
        if not run.plan.batches:
            yield BegunRun(run, None, hold)
            return
        runner.warn_of(places_of(run))
        with runner.pool(len(run.plan.batches)) as pool:
            hold.when_lost(pool.stop)
            yield BegunRun(run, pool, hold)


_handed_over: ContextVar[BegunRun | None] = ContextVar("handed_over", default=None)


@contextmanager
def handed_over(run: BegunRun) -> Iterator[None]:
    """Have `begun_as_asked` find this run, where the same is asked in this context, for as long as the block lasts."""
    token = _handed_over.set(run)
    try:
        yield
    finally:
        _handed_over.reset(token)


@contextmanager
def begun_as_asked(asked: Asked, *, strict: bool) -> Iterator[BegunRun]:
    """The run that was handed over, if it is the one that is asked for; else it is begun here.

    Raises:
        NstError: as `resolve` and `begun` do.
    """
    given = _handed_over.get()
    if given is not None and given.run.request.asked == asked and given.run.request.limits.strict == strict:
        yield given
        return
    with begun(resolve(asked, strict=strict)) as run:
        yield run
