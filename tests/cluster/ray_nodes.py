"""A Ray cluster of several nodes on this machine, each with its own raylet and workers."""

import ipaddress
import os
import signal
from pathlib import Path
from typing import Any

from flows.runners.ray.cluster import ENVIRONMENT
from tests.faults.real_run import children_of

NODES = 4
LISTENING = "0A"


class Nodes:
    """A head node without CPUs, so that no worker runs there, and further nodes of one CPU each."""

    def __init__(self) -> None:
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address: str = self._cluster.address

    def add(self, env: dict[str, str] | None = None) -> Any:
        """Add a node."""
        return self._cluster.add_node(num_cpus=1, env_vars=env)

    def kill(self, node: Any) -> None:
        """Kill all processes of a node with SIGKILL, as if its machine were gone."""
        for info in node.all_processes["raylet"]:
            for process_id in (*children_of(info.process.pid), info.process.pid):
                os.kill(process_id, signal.SIGKILL)

    def stop(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def descendants_of(process_id: int) -> list[int]:
    """Return the processes that a process has started, and those that they have started."""
    return [one for child in children_of(process_id) for one in (child, *descendants_of(child))]


def listening_hosts(process_ids: list[int]) -> set[str]:
    """Return the addresses on which some processes listen, from the tables of the kernel."""
    links = [_link(path) for one in process_ids for path in _open_files(one)]
    sockets = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {_host(row[1]) for row in rows if row[3] == LISTENING and row[9] in sockets}


def _open_files(process_id: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{process_id}/fd").iterdir())
    except OSError:  # it just ended
        return []


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # it was just closed
        return ""


def _host(local: str) -> str:
    """Return an address of the kernel's tables: hexadecimal, the bytes of each word reversed; IPv6 may contain IPv4."""
    words = bytes.fromhex(local.partition(":")[0])
    turned = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    address = ipaddress.ip_address(turned)
    return str(getattr(address, "ipv4_mapped", None) or address)
