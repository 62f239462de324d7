"""flows.worker.lost_device: a process ends with its device, and with nothing less."""

import logging
import os
import threading

import pool_jobs
import pytest
import torch

from flows import interpreter
from flows.errors import EXIT_OF_LOST_DEVICE, DeviceUnusable, WorkerDied
from flows.runners.local import process_pool
from flows.worker.lost_device import ending_with

ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nand pages of advice")


def no_answer() -> None:
    raise ILLEGAL


@pytest.fixture(autouse=True)
def somebody_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is no worker's, whatever other tests have said of it."""
    monkeypatch.setattr(interpreter, "_is_a_worker", threading.Event())


def test_a_worker_s_process_ends_with_its_device(caplog: pytest.LogCaptureFixture) -> None:
    """Where the device does not even answer, with an exit code of its own and one line that says why."""
    interpreter.become_a_worker()
    codes: list[int] = []
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(DeviceUnusable),
        ending_with("cuda:1", no_answer, codes.append),
    ):
        raise ILLEGAL

    assert codes == [EXIT_OF_LOST_DEVICE]
    assert [record.getMessage() for record in caplog.records] == [
        "cuda:1 is of no use to this process any more, which ends: CUDA error: an illegal memory access was encountered"
    ]


def test_somebody_else_s_process_goes_on() -> None:
    """As a notebook, whose run ends with the reason."""
    codes: list[int] = []
    words = "cuda:1 is of no use to this process any more: CUDA error: an illegal memory access was encountered. Start"
    with pytest.raises(DeviceUnusable, match=words), ending_with("cuda:1", no_answer, codes.append):
        raise ILLEGAL

    assert codes == []


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), torch.AcceleratorError("CUDA error: out of memory"), ValueError("of a pair")]
)
def test_another_error_is_a_pair_s(error: Exception) -> None:
    """A device that answers goes on, as one does that has too little memory."""
    codes: list[int] = []
    with pytest.raises(type(error)), ending_with("cuda:1", lambda: None, codes.append):
        raise error

    assert codes == []


def test_a_cpu_is_never_lost() -> None:
    """Whatever torch raises there; this process would end otherwise."""
    with pytest.raises(RuntimeError, match="shapes"), ending_with("cpu"):
        raise RuntimeError("shapes")


def test_a_plan_that_a_gpu_cannot_tell_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much memory is free is asked between the pairs: the run goes on with a new process."""
    monkeypatch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)
    with process_pool(("cpu",)) as pool:
        worker = pool.take()
        with pytest.raises(WorkerDied, match="ended itself, as its GPU answered with errors alone"):
            pool_jobs.done_by(worker, pool_jobs.plan_for_a_gpu)

        assert pool_jobs.done_by(worker, pool_jobs.add, 1, second=1) == 2
