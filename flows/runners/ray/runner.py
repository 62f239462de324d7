"""A run on a Ray cluster: what it is done with, and a word of warning where nodes cannot see the files."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flows import storage
from flows.runners.ray.actors import ActorNeeds, RayPool
from flows.runners.ray.cluster import connected
from flows.runners.runner import Means
from flows.settings import RunSettings
from nst_core.errors import OptionsError

logger = logging.getLogger(__name__)

GPU_ACTOR_CPUS = 1
"""Beside its GPU: decoding and encoding is work for one core."""


class RayRunner:
    """Actors on a cluster, the first of which has told what the hardware is."""

    def __init__(self, ray: Any, settings: RunSettings) -> None:
        resources = ray.cluster_resources()
        needs = actor_needs(settings, resources)
        self._pool = RayPool(ray, needs, settings.ray_wait_seconds)
        facts = self._pool.first_facts()
        self.workers = settings.ray_workers or capacity(needs, resources)
        self.nodes = sum(1 for node in ray.nodes() if node["Alive"])
        self.means = Means(
            devices=(needs.device,) * self.workers,
            names=tuple(f"ray {number}" for number in range(1, self.workers + 1)),
            precision="bf16" if facts.precision == "bf16" else "fp32",
            threads=None if needs.gpus else needs.cpus,
        )

    def pool(self, batches: int) -> RayPool:
        """As many actors as the batches can use; those that do not come up at once are waited for beside the work."""
        self._pool.ask_for(max(1, min(self.workers, batches)))
        return self._pool

    def stop(self) -> None:
        """End all actors."""
        self._pool.stop()

    def warn_of(self, addresses: Iterable[str]) -> None:
        """Say so where files are local and nodes are several: each of them has a disk of its own."""
        local = next((address for address in addresses if not storage.is_s3(address)), None)
        if local is not None and self.nodes > 1:
            logger.warning(
                "%s is a local path, and the Ray cluster has %d nodes: every node must have the same files there, as "
                "on a shared disk; otherwise use s3:// for pictures, weights and output",
                local,
                self.nodes,
            )


@contextmanager
def ray_runner(settings: RunSettings) -> Iterator[RayRunner]:
    """A runner on the cluster that the settings name, for as long as the block lasts.

    Raises:
        ClusterError: if the cluster cannot be used.
    """
    with connected(settings.ray_address) as ray:
        runner = RayRunner(ray, settings)
        try:
            yield runner
        finally:
            runner.stop()


def actor_needs(settings: RunSettings, resources: dict[str, float]) -> ActorNeeds:
    """One GPU per actor where the cluster has any, else the CPUs that the settings say.

    Raises:
        OptionsError: if a certain GPU is asked for: which one an actor gets is Ray's to say.
    """
    if settings.device not in ("auto", "cpu", "cuda"):
        raise OptionsError(f"--device {settings.device}: on a Ray cluster it is auto, cpu or cuda")
    if settings.device == "cuda" or (settings.device == "auto" and resources.get("GPU", 0) >= 1):
        return ActorNeeds("cuda:0", GPU_ACTOR_CPUS, 1, settings.precision)
    return ActorNeeds("cpu", settings.ray_cpus, 0, settings.precision)


def capacity(needs: ActorNeeds, resources: dict[str, float]) -> int:
    """How many actors the cluster can hold as it is, at least 1.

    >>> capacity(ActorNeeds("cpu", 2, 0, "auto"), {"CPU": 9.0})
    4
    """
    if needs.gpus:
        return max(1, int(resources.get("GPU", 0)) // needs.gpus)
    return max(1, int(resources.get("CPU", 0)) // needs.cpus)
