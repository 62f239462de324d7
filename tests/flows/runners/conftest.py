"""Fixtures of the runners' tests: a pool of one process, which can import what it is to do."""

import os
from collections.abc import Iterator

import pytest

from flows.runners import Pool, Worker
from flows.runners.local import process_pool
from tests.flows import pool_jobs


@pytest.fixture(autouse=True)
def importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started find `pool_jobs`."""
    monkeypatch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)


@pytest.fixture
def pool(importable_jobs: None) -> Iterator[Pool]:
    """One worker process, which is ended at last."""
    with process_pool(("cpu",)) as made:
        yield made


@pytest.fixture
def worker(pool: Pool) -> Worker:
    """The worker of the pool."""
    return pool.take()
