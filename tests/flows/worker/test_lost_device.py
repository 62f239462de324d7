"""flows.worker.lost_device: which errors mean that a GPU is lost, and what happens to the pairs then."""

import logging
import os

import pytest
import torch

from flows.errors import DeviceLost
from flows.records.attempts import PairRecord
from flows.runners.local import process_pool
from flows.worker.job import Job
from flows.worker.lost_device import detecting_device_loss
from flows.worker.messages import ChunkStarted, DeviceWaits
from tests.flows import pool_jobs
from tests.flows.builders import Painter, pair_spec, planned

ILLEGAL = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nand pages of advice")
LOST = (
    "cuda:1 is of no use to its process any more: CUDA error: an illegal memory access was encountered; nvidia-smi and "
    "dmesg say more"
)
ONE_BY_ONE = {"size_px": 48, "steps": 2, "style_layers": ("relu1_1",), "max_seconds": 600.0}
"""Options with a time budget, with which each pair has the device to itself."""


def no_answer() -> None:
    raise ILLEGAL


@pytest.fixture(autouse=True)
def workers_find_their_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)


def test_a_device_that_does_not_respond_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """If the device does not respond after an error, the error becomes DeviceLost, and its first line is logged."""
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(DeviceLost) as caught,
        detecting_device_loss("cuda:1", no_answer),
    ):
        raise ILLEGAL

    assert str(caught.value) == LOST
    assert [record.getMessage() for record in caplog.records] == [LOST]


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), torch.AcceleratorError("CUDA error: out of memory"), ValueError("of a pair")]
)
def test_an_error_on_a_responding_device_is_passed_on(error: Exception) -> None:
    """If the device responds after an error, or is out of memory, the error is raised unchanged."""
    with pytest.raises(type(error)), detecting_device_loss("cuda:1", lambda: None):
        raise error


def test_a_cpu_is_never_lost() -> None:
    """An error of torch on the CPU is passed on: as DeviceLost it would end the worker's process."""
    with pytest.raises(RuntimeError, match="shapes"), detecting_device_loss("cpu"):
        raise RuntimeError("shapes")


def test_a_lost_device_found_while_planning_replaces_the_process() -> None:
    """A GPU that is lost when its free memory is queried, between the pairs, costs its process; the next call has
    another.
    """
    with process_pool(("cpu",)) as pool:
        worker = pool.take()
        before = pool_jobs.done_by(worker, pool_jobs.process_id)
        with pytest.raises(DeviceLost, match="cuda:99 is of no use to its process any more"):
            pool_jobs.done_by(worker, pool_jobs.plan_for_a_gpu)

        assert pool_jobs.done_by(worker, pool_jobs.process_id) != before


def test_computed_pairs_are_written_before_the_device_loss_is_raised(photo: Painter, waves: str, job: Job) -> None:
    """Two pairs are still being written when the third loses the device: their records are sent before the error.

    `DeviceWaits` is sent as well, so that the time of writing does not count as the third pair's time on the device.
    """
    contents = [photo(f"{seed}.png", seed=seed) for seed in range(4)]
    pairs = tuple(planned(pair_spec(row, one, waves, options=ONE_BY_ONE)) for row, one in enumerate(contents, start=2))
    said: list[object] = []
    with process_pool(("cpu",)) as pool:
        worker = pool.take()
        with pytest.raises(DeviceLost):
            pool_jobs.told_by(worker, said.append, pool_jobs.lose_the_device, pairs, job, after=2, write_seconds=1.0)

    begun = [pair_id for message in said if isinstance(message, ChunkStarted) for pair_id in message.pair_ids]
    assert len(begun) == 3
    assert isinstance([message for message in said if isinstance(message, ChunkStarted | DeviceWaits)][-1], DeviceWaits)
    assert {message.pair_id for message in said if isinstance(message, PairRecord)} == set(begun[:2])
