"""The runner for a Ray cluster; the first actor that starts determines the run's precision."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.runners.pool import Pool
from flows.runners.ray.actors import ActorNeeds, Actors
from flows.runners.ray.cluster import connected
from flows.runners.runner import Means, Runner
from flows.settings import RunSettings
from nst_core.errors import OptionsError

GPU_ACTOR_CPUS = 1
"""The number of CPUs per GPU actor: decoding and encoding images keeps one core busy."""


@contextmanager
def ray_runner(settings: RunSettings) -> Iterator[Runner]:
    """Provide a runner on the cluster that the settings name, for as long as the block lasts.

    Raises:
        ClusterError: if the cluster cannot be used.
    """
    with connected(settings.ray_address) as ray:
        resources = ray.cluster_resources()
        needs = actor_needs(settings, resources)
        workers = settings.ray_workers or capacity(needs, resources)
        actors = Actors(ray, needs, settings.ray_wait_seconds)
        try:
            means = _means(actors.first_facts().precision, needs, workers)
            nodes = sum(1 for node in ray.nodes() if node["Alive"])
            yield Runner(means, lambda batches: _pool(actors, means, batches), machines=nodes)
        finally:
            actors.close()


def _means(precision: str, needs: ActorNeeds, workers: int) -> Means:
    return Means(
        devices=(needs.device,) * workers,
        names=tuple(f"ray {number}" for number in range(1, workers + 1)),
        precision="bf16" if precision == "bf16" else "fp32",
        threads=None if needs.gpus else needs.cpus,
    )


def _pool(actors: Actors, means: Means, batches: int) -> Pool:
    """Return a pool of as many workers as the batches can use; those whose actors start later join then."""
    places = tuple(zip(means.names, means.devices, strict=True))[: max(1, batches)]
    actors.ask_for(len(places))
    return Pool(places, actors.connect, actors.close)


def actor_needs(settings: RunSettings, resources: dict[str, float]) -> ActorNeeds:
    """Return the resources of each actor: one GPU if the cluster has any, otherwise the settings' number of CPUs.

    Raises:
        OptionsError: if the settings name a particular GPU: Ray decides which one an actor gets.
    """
    if settings.device not in ("auto", "cpu", "cuda"):
        raise OptionsError(f"--device {settings.device}: on a Ray cluster it is auto, cpu or cuda")
    if settings.device == "cuda" or (settings.device == "auto" and resources.get("GPU", 0) >= 1):
        return ActorNeeds("cuda:0", GPU_ACTOR_CPUS, 1, settings.precision)
    return ActorNeeds("cpu", settings.ray_cpus, 0, settings.precision)


def capacity(needs: ActorNeeds, resources: dict[str, float]) -> int:
    """Return how many actors the cluster can hold at its present size, at least 1.

    >>> capacity(ActorNeeds("cpu", 2, 0, "auto"), {"CPU": 9.0})
    4
    """
    if needs.gpus:
        return max(1, int(resources.get("GPU", 0)) // needs.gpus)
    return max(1, int(resources.get("CPU", 0)) // needs.cpus)
