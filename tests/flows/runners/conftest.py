"""Fixtures for the tests of the runners: worker processes that can import the tests' functions."""

import os
from collections.abc import Iterator

import pytest

from flows.runners import Pool, Worker
from flows.runners.local import process_pool
from tests.flows import pool_jobs


@pytest.fixture(autouse=True)
def importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes import `pool_jobs`."""
    monkeypatch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)


@pytest.fixture
def pool(importable_jobs: None) -> Iterator[Pool]:
    """A pool of one worker process, which is stopped at the end."""
    with process_pool(("cpu",)) as made:
        yield made


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A worker for all tests of a module, as starting a process takes time; a test that ends its process costs another.

    A test must not stop its pool.
    """
    with pytest.MonkeyPatch.context() as patch, process_pool(("cpu",)) as pool:
        patch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)
        yield pool.take()
