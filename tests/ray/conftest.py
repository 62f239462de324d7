"""A Ray cluster of several nodes on this machine: each has its own raylet and workers. `pytest tests/ray -m ray`."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from real_run import children_of

NODES = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ray)


class Nodes:
    """A head without CPUs, so that nothing runs there, and nodes of one CPU each."""

    def __init__(self) -> None:
        from flows.ray_cluster import ENVIRONMENT

        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address: str = self._cluster.address

    def add(self, env: dict[str, str] | None = None) -> Any:
        """One more node."""
        return self._cluster.add_node(num_cpus=1, env_vars=env)

    def kill(self, node: Any) -> None:
        """Kill -9 of all that runs on a node, as when its machine is gone."""
        for info in node.all_processes["raylet"]:
            for process_id in (*children_of(info.process.pid), info.process.pid):
                os.kill(process_id, signal.SIGKILL)

    def stop(self) -> None:
        """End them all."""
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def ray() -> Any:
    return pytest.importorskip("ray", reason="pip install -r deploy/requirements-ray.lock")


@pytest.fixture
def nodes(ray: Any) -> Iterator[Nodes]:
    """An empty cluster."""
    made = Nodes()
    yield made
    made.stop()
