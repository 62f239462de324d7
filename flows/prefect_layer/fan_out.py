"""Fan the batches of a run out as Prefect tasks, one per idle worker at a time."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from prefect.futures import PrefectConcurrentFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from flows import storage
from flows.prefect_layer.tasks import INCOMPLETE, batch_task
from flows.run.prepare import PreparedRun
from flows.run.scheduler import BatchScheduler
from flows.runners import Pool
from flows.worker.messages import OnWorkerMessage


def fan_out(run: PreparedRun, pool: Pool, on_message: OnWorkerMessage) -> None:
    """Run every batch as a task, each as soon as a worker is idle, and end the workers at the end.

    Args:
        run: the run whose batches are carried out.
        pool: the workers, one per device.
        on_message: the callback for the workers' messages.

    Raises:
        The error that stopped a task, if one did; errors of single pairs never do.
    """
    threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=len(run.means.devices))
    with ExitStack() as ending, pool, threads as tasks:
        scheduler = BatchScheduler(run, pool, on_message)
        stylize_batch = batch_task(scheduler)
        futures: list[PrefectConcurrentFuture[Any]] = []
        try:
            while (batch := scheduler.next_batch()) is not None:
                future = tasks.submit(stylize_batch, parameters={"batch": batch})
                future.add_done_callback(_give_back_when_done(scheduler, batch))
                futures.append(future)
            wait([*futures])
        except BaseException as error:
            # Ctrl-C or Prefect's TerminationSignal: the threads wait for the workers, so the workers are stopped first.
            pool.stop()
            ending.enter_context(storage.hurried(error))  # a thread that is just storing a failure waits for storage
            raise
    scheduler.raise_error()
    for future in futures:
        state = future.state
        if state.is_crashed() and state.name != INCOMPLETE:  # an error in Prefect's own code, before or after ours
            future.result()


def _give_back_when_done(scheduler: BatchScheduler, batch: str) -> Callable[[object], None]:
    return lambda _ended: scheduler.give_back(batch)
