"""flows.runners.inline: a run without worker processes, for use with a debugger."""

import os
import threading
from typing import Any

import pytest

from flows.errors import DeviceUnusable, PoolStopped
from flows.runners import Pool, check_runner, runner_of
from flows.runners.inline import link_here
from flows.settings import RunSettings
from nst_core.errors import OptionsError
from nst_core.machine.runtime import hardware_here
from tests.flows import pool_jobs
from tests.flows.pool_jobs import done_by, told_by

HERE = RunSettings(runner="inline", device="cpu")


@pytest.fixture
def pool() -> Pool:
    """A pool whose only worker is this process."""
    return Pool((("cpu", "cpu"),), link_here)


def test_a_call_runs_in_the_calling_thread(pool: Pool) -> None:
    """A call runs in this process and in the thread that waits for it, so that breakpoints work."""
    where: list[Any] = []
    found = told_by(pool.take(), where.append, lambda report: report(threading.get_ident()) or os.getpid())

    assert (found, where) == (os.getpid(), [threading.get_ident()])


def test_an_error_keeps_its_traceback(pool: Pool) -> None:
    """An error has its own traceback, with the frames that a post-mortem debugger needs; the next call works."""
    worker = pool.take()
    with pytest.raises(pool_jobs.TwoPartError) as caught:
        done_by(worker, pool_jobs.raise_two_parts)

    assert caught.traceback[-1].name == "raise_two_parts"
    assert done_by(worker, pool_jobs.add, 1, second=2) == 3


def test_a_lost_device_is_unusable_for_the_run(pool: Pool) -> None:
    """A device that this process has lost raises DeviceUnusable, as no other process can take over; the traceback is
    kept.
    """
    words = r"cuda:99 is of no use to its process any more: .*\. Start another"
    with pytest.raises(DeviceUnusable, match=words) as caught:
        done_by(pool.take(), pool_jobs.plan_for_a_gpu)

    assert caught.traceback[-1].name == "detecting_device_loss"


def test_a_stopped_pool_ends_a_call_at_its_next_message(pool: Pool) -> None:
    """After `stop`, the call in progress ends with PoolStopped as soon as it sends a message."""
    told: list[object] = []

    def stop(message: object) -> None:
        told.append(message)
        pool.stop()

    with pytest.raises(PoolStopped):
        told_by(pool.take(), stop, pool_jobs.say, 1, 2, 3)
    with pytest.raises(PoolStopped):
        pool.take()

    assert told == [1]


def test_an_error_of_on_message_ends_the_call(pool: Pool) -> None:
    """An error of `on_message` is raised by the call, as with worker processes."""

    def fail(message: object) -> None:
        raise ValueError(f"{message} is not wanted")

    with pytest.raises(ValueError, match="this is not wanted"):
        told_by(pool.take(), fail, pool_jobs.say, "this", "and that")


def test_an_inline_run_has_one_worker() -> None:
    """Whatever `cpu_workers` says, there is one worker, on the first device, in the precision that suits the device."""
    with runner_of(HERE.model_copy(update={"cpu_workers": 4})) as runner, runner.pool(7) as pool:
        assert runner.means.devices == runner.means.names == ("cpu",)
        assert runner.means.precision == hardware_here().precision("auto", "cpu")
        assert pool.styles() == [None]


def test_a_missing_device_is_refused() -> None:
    """A device that does not exist is refused when the runner is checked, before the run begins."""
    check_runner(HERE)
    with pytest.raises(OptionsError, match="no device 'cuda:99'"):
        check_runner(RunSettings(runner="inline", device="cuda:99"))
