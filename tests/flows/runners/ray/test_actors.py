"""flows.runners.ray.actors: whose actors come up and die, on a cluster of which a test says how its nodes are."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import ClusterError
from flows.runners.pool import Link, Pool
from flows.runners.ray import actors
from flows.runners.ray.actor import NodeFacts, code_version
from flows.runners.ray.actors import ActorNeeds, Actors


class RayError(Exception):
    pass


class Cluster:
    """As much of the module `ray` as is asked for here; `starts` says of each actor in turn whether it comes up."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, starts: Iterator[bool]) -> None:
        self.starts = starts
        self.asked = 0
        self.killed: list[int] = []

    def remote(self, _kind: type) -> Any:
        return SimpleNamespace(options=lambda **_options: SimpleNamespace(remote=self._actor))

    def _actor(self, _level: int) -> Any:
        self.asked += 1
        number, comes_up = self.asked, next(self.starts)
        return SimpleNamespace(number=number, facts=SimpleNamespace(remote=lambda *_wishes: (number, comes_up)))

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return references, []

    def get(self, reference: tuple[int, bool]) -> NodeFacts:
        number, comes_up = reference
        if not comes_up:
            raise RayError("no such module: flows")
        return NodeFacts(f"node {number}", code_version(), "fp32", number)

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "FIRST_PAUSE_SECONDS", 0.0)


def starting(*starts: bool, then: bool) -> tuple[Cluster, Actors]:
    cluster = Cluster(itertools.chain(starts, itertools.repeat(then)))
    return cluster, Actors(cluster, ActorNeeds("cpu", 1, 0, "auto"), wait_seconds=60)


def connected(these: Actors, looks: int) -> list[Link]:
    return [link for link in (these.connect("ray 1") for _ in range(looks)) if link is not None]


def test_a_bad_node_does_not_end_a_run_on_which_others_are_at_work(quick: None) -> None:
    """However often an actor dies on one node, those that are there go on, and another one is asked for."""
    cluster, these = starting(True, then=False)
    these.ask_for(2)

    assert len(connected(these, looks=3 * actors.DEATHS_AT_START)) == 1
    assert cluster.asked > 2 * actors.DEATHS_AT_START


def test_a_bad_node_is_asked_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """The pause before the next try is told; meanwhile the cluster is asked for no other."""
    cluster, these = starting(True, then=False)
    these.ask_for(2)

    connected(these, looks=10)
    these.ask_for(2)
    assert cluster.asked == 2
    assert "no such module: flows; another one is asked for in 5 s" in caplog.text


def test_a_cluster_on_which_none_starts_is_given_up() -> None:
    """Nobody is there, and three in a row die: the error says what every node needs."""
    _, these = starting(then=False)
    these.ask_for(1)

    with pytest.raises(ClusterError, match=r"workers do not start on the Ray cluster: .*no such module: flows"):
        connected(these, looks=actors.DEATHS_AT_START)


def test_a_node_that_is_bad_at_once_does_not_end_a_run_before_others_are_there() -> None:
    """While some are still coming, three deaths say nothing of those."""
    _, these = starting(*[False] * actors.DEATHS_AT_START, then=True)
    these.ask_for(actors.DEATHS_AT_START + 1)

    assert len(connected(these, looks=4)) >= 1


def test_deaths_beside_others_do_not_count_once_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    """When the last actor is lost, all that are wanting are asked for at once, and have their three tries."""
    cluster, these = starting(True, False, False, False, then=True)
    these.ask_for(4)
    (only,) = connected(these, looks=2)
    only.kill()

    assert "no such module" in caplog.text
    assert len(connected(these, looks=6)) == 4
    assert cluster.asked == 8


def test_a_run_whose_last_actor_is_of_no_use_ends_and_says_why() -> None:
    """Its other workers wait for actors for which the cluster has no room: no longer than was said."""
    cluster = Cluster(itertools.repeat(True))
    these = Actors(cluster, ActorNeeds("cuda:0", 1, 1, "auto"), wait_seconds=0.01)
    these.ask_for(1)
    with Pool((("ray 1", "cuda:0"), ("ray 2", "cuda:0")), these.connect, these.close) as pool:
        worker = pool.take()
        assert pool.strike_off(worker, "cuda:0 cannot be used: out of memory")

        with pytest.raises(ClusterError, match=r"no worker for .*; node 1 is left out: cuda:0 cannot be used: out of"):
            pool.take()
    assert cluster.asked == 1


def test_an_actor_that_is_set_aside_keeps_its_place_until_the_end() -> None:
    """It is ended with the others; meanwhile none comes up where it is."""
    cluster, these = starting(then=True)
    these.ask_for(2)
    first, _second = connected(these, looks=2)
    first.set_aside("cuda:0 cannot be used")

    assert connected(these, looks=3) == []
    assert (cluster.asked, cluster.killed) == (2, [])
    first.kill()
    these.close()
    assert (cluster.asked, sorted(set(cluster.killed))) == (2, [1, 2])
