"""A Ray cluster of several nodes on this machine: each has its own raylet and workers."""

import os
import signal
from typing import Any

from real_run import children_of

from flows.ray_cluster import ENVIRONMENT

NODES = 4


class Nodes:
    """A head without CPUs, so that nothing runs there, and nodes of one CPU each."""

    def __init__(self) -> None:
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
