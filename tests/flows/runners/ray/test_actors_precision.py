"""flows.runners.ray.actors: which of the actors that have started are given work."""

import itertools
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import ClusterError
from flows.runners.ray.actor import NodeFacts, code_version, facts_here
from flows.runners.ray.actors import ActorNeeds, Actors


class Cluster:
    """Replaces the module `ray`: actors start at once, each on a node with its own precision, while nodes are left."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self, *precisions: str) -> None:
        self._numbers, self._precisions = itertools.count(), precisions
        self.killed: list[int] = []

    def remote(self, _class: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._new))

    def _new(self, _level: int) -> Any:
        number = next(self._numbers)
        return SimpleNamespace(number=number, facts=SimpleNamespace(remote=lambda *_: number))

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        assert timeout >= 0
        there = [number for number in references if number < len(self._precisions)][:num_returns]
        return there, [number for number in references if number not in there]

    def get(self, number: int) -> NodeFacts:
        precision = self._precisions[number]
        return NodeFacts(f"node-{number}", code_version(), precision, 1000 + number, "" if precision else "too old")

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": 1.0}

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)


@pytest.mark.parametrize(
    ("precisions", "gpus", "left_out"),
    [
        (("bf16", "fp32", "bf16", "bf16"), 1, [1]),
        (("fp32", "bf16", "fp32"), 1, []),
        (("bf16", "fp32", "bf16"), 0, []),
    ],
    ids=["a GPU without bf16", "a run in fp32", "a CPU without bf16"],
)
def test_a_gpu_without_the_run_s_precision_is_left_out(
    caplog: pytest.LogCaptureFixture, precisions: tuple[str, ...], gpus: int, left_out: list[int]
) -> None:
    """The first actor determines the run's precision; a later GPU without bf16 would fail every pair, and is left out.

    It keeps its GPU until the end, so that the actor requested in its place starts elsewhere.
    """
    cluster = Cluster(*precisions)
    actors = Actors(cluster, ActorNeeds("cuda:0" if gpus else "cpu", 1, gpus, "auto"), wait_seconds=60.0)
    with caplog.at_level(logging.WARNING):
        actors.first_facts()
        actors.ask_for(3)
        links = [actors.connect("ray") for _ in range(4)]

    assert cluster.killed == []
    assert sum(link is not None for link in links) == 3
    assert [one.getMessage().partition(",")[0] for one in caplog.records if one.levelno == logging.WARNING] == [
        f"node-{number} is left out: its GPU cannot multiply bf16" for number in left_out
    ]
    actors.close()
    assert set(left_out) <= set(cluster.killed)


def test_a_node_without_a_usable_device_is_not_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many nodes have no usable device, others are waited for; if none comes, the error gives the reason."""
    cluster = Cluster(*[""] * 5, "bf16", "")
    actors = Actors(cluster, ActorNeeds("cuda:0", 1, 1.0, "bf16"), wait_seconds=60.0)

    assert actors.first_facts().host == "node-5"
    actors.close()

    alone = Actors(Cluster(""), ActorNeeds("cuda:0", 1, 1.0, "bf16"), wait_seconds=0.05)
    with pytest.raises(ClusterError, match=r"had no worker for 0 s .*; node-0 is left out: too old"):
        alone.first_facts()


def test_a_node_says_why_it_is_useless() -> None:
    """A node reports its reason as a fact; an error would look like a worker that does not start."""
    assert facts_here("cuda:99", "auto").useless.startswith("no device 'cuda:99' on this machine")
