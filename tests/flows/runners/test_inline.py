"""flows.runners.inline: a run without worker processes, for a debugger."""

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
    """This process."""
    return Pool((("cpu", "cpu"),), link_here)


def test_a_call_is_done_in_the_thread_that_waits_for_it(pool: Pool) -> None:
    """Neither another process nor another thread: a breakpoint stops where one looks for it."""
    where: list[Any] = []
    found = told_by(pool.take(), where.append, lambda report: report(threading.get_ident()) or os.getpid())

    assert (found, where) == (os.getpid(), [threading.get_ident()])


def test_an_error_is_the_very_one_that_was_raised(pool: Pool) -> None:
    """With its own traceback, where a post-mortem debugger finds the frames; the next call works."""
    worker = pool.take()
    with pytest.raises(pool_jobs.TwoPartError) as caught:
        done_by(worker, pool_jobs.raise_two_parts)

    assert caught.traceback[-1].name == "raise_two_parts"
    assert done_by(worker, pool_jobs.add, 1, second=2) == 3


def test_a_device_that_this_process_has_lost_is_lost_to_the_run(pool: Pool) -> None:
    """Pairs are not tried in this process again; the error is found where it was raised."""
    words = r"cuda:99 is of no use to its process any more: .*\. Start another"
    with pytest.raises(DeviceUnusable, match=words) as caught:
        done_by(pool.take(), pool_jobs.plan_for_a_gpu)

    assert caught.traceback[-1].name == "detecting_device_loss"


def test_a_stopped_pool_ends_a_call_at_its_next_word(pool: Pool) -> None:
    """The call cannot be ended from outside, but goes no further than to the next thing that it has to say."""
    told: list[object] = []

    def stop(message: object) -> None:
        told.append(message)
        pool.stop()

    with pytest.raises(PoolStopped):
        told_by(pool.take(), stop, pool_jobs.say, 1, 2, 3)
    with pytest.raises(PoolStopped):
        pool.take()

    assert told == [1]


def test_a_listener_that_fails_fails_the_call(pool: Pool) -> None:
    """Its error is the call's, as where the call is in another process."""

    def fail(message: object) -> None:
        raise ValueError(f"{message} is not wanted")

    with pytest.raises(ValueError, match="this is not wanted"):
        told_by(pool.take(), fail, pool_jobs.say, "this", "and that")


def test_a_run_has_one_worker_with_what_the_hardware_has() -> None:
    """However many workers or GPUs there might be: the first device, at the precision that it is good at."""
    with runner_of(HERE.model_copy(update={"cpu_workers": 4})) as runner, runner.pool(7) as pool:
        assert runner.means.devices == runner.means.names == ("cpu",)
        assert runner.means.precision == hardware_here().precision("auto", "cpu")
        assert pool.styles() == [None]


def test_a_device_that_is_not_there_is_refused() -> None:
    """Before anything is done, as for other runners."""
    check_runner(HERE)
    with pytest.raises(OptionsError, match="no device 'cuda:99'"):
        check_runner(RunSettings(runner="inline", device="cuda:99"))
