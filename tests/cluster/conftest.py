"""Fixtures of the tests on a real Ray cluster, which `pytest tests/cluster -m ray` runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="module")
def ray() -> Any:
    """The module ray; without it the tests are skipped."""
    return pytest.importorskip("ray", reason="pip install -r deploy/requirements-ray.lock")


@pytest.fixture
def nodes(ray: Any) -> Iterator[Any]:
    """A cluster without nodes for workers."""
    from tests.cluster.ray_nodes import Nodes  # imports ray

    made = Nodes()
    yield made
    made.stop()
