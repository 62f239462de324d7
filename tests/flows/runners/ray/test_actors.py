"""flows.runners.ray.actors: actors that start and die on a simulated cluster, whose nodes each test defines."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flows.clock import AwakeClock
from flows.errors import ClusterError, WorkerDied
from flows.runners.pool import Link, Pool
from flows.runners.protocol import Call
from flows.runners.ray import actors
from flows.runners.ray.actor import NodeFacts, code_version
from flows.runners.ray.actors import ActorNeeds, Actors


class RayError(Exception):
    pass


class Cluster:
    """The parts of the module `ray` that are used here; `starts` says of each actor in turn whether it starts."""

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


def test_a_bad_node_does_not_end_a_run_with_other_actors(quick: None) -> None:
    """However often an actor dies on one node, the other actors keep working, and another actor is requested."""
    cluster, these = starting(True, then=False)
    these.ask_for(2)

    assert len(connected(these, looks=3 * actors.DEATHS_AT_START)) == 1
    assert cluster.asked > 2 * actors.DEATHS_AT_START


def test_a_new_actor_is_requested_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    """After an actor died, the log states the pause before the next request, and no actor is requested meanwhile."""
    cluster, these = starting(True, then=False)
    these.ask_for(2)

    connected(these, looks=10)
    these.ask_for(2)
    assert cluster.asked == 2
    assert "no such module: flows; another one is requested in 5 s" in caplog.text


def test_a_run_ends_if_no_actor_starts() -> None:
    """If there is no actor and three in a row die, the run ends with an error that names the cause."""
    _, these = starting(then=False)
    these.ask_for(1)

    with pytest.raises(ClusterError, match=r"workers do not start on the Ray cluster: .*no such module: flows"):
        connected(these, looks=actors.DEATHS_AT_START)


def test_deaths_do_not_end_a_run_while_actors_are_starting() -> None:
    """While other actors are still starting, three deaths do not end the run."""
    _, these = starting(*[False] * actors.DEATHS_AT_START, then=True)
    these.ask_for(actors.DEATHS_AT_START + 1)

    assert len(connected(these, looks=4)) >= 1


def test_deaths_beside_other_actors_do_not_count_later(caplog: pytest.LogCaptureFixture) -> None:
    """When the last actor is lost, all missing ones are requested at once, and earlier deaths do not count."""
    cluster, these = starting(True, False, False, False, then=True)
    these.ask_for(4)
    (only,) = connected(these, looks=2)
    only.kill()

    assert "no such module" in caplog.text
    assert len(connected(these, looks=6)) == 4
    assert cluster.asked == 8


def test_a_run_whose_last_actor_is_unusable_ends_with_the_reason() -> None:
    """Its other worker waits for an actor for which the cluster has no room, but no longer than `wait_seconds`."""
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
    """An actor that is set aside is killed only at the end, so that no other one starts in its place."""
    cluster, these = starting(then=True)
    these.ask_for(2)
    first, _second = connected(these, looks=2)
    first.set_aside("cuda:0 cannot be used")

    assert connected(these, looks=3) == []
    assert (cluster.asked, cluster.killed) == (2, [])
    first.kill()
    these.close()
    assert (cluster.asked, sorted(set(cluster.killed))) == (2, [1, 2])


# ---------------------------------------------------------------- a run that is stopped for a while


class Now:
    """A stand-in for the system's clock, whose seconds a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    """The system's clock, from which the clock of the actors' time limits goes."""
    made = Now()
    monkeypatch.setattr(actors, "awake_seconds", AwakeClock(made).seconds)
    return made


def test_a_silent_actor_is_lost_but_not_because_the_run_was_stopped(now: Now) -> None:
    """If the run is stopped for hours, that is no silence of its actor; an actor that then does not answer is lost."""
    actor = SimpleNamespace(
        call=SimpleNamespace(remote=lambda _call: None), news=SimpleNamespace(remote=lambda _seconds: "no answer yet")
    )
    silent = SimpleNamespace(exceptions=Cluster.exceptions, wait=lambda references, timeout: ([], references))
    channel = actors._Channel(silent, actor, "node 1")
    channel.call(Call(len, ((),)))
    now.seconds += 7200.0
    channel.receive(0.5, print)

    def receive_twice_a_second(seconds: float) -> None:
        for _ in range(int(2 * seconds)):
            now.seconds += 0.5
            channel.receive(0.5, print)

    receive_twice_a_second(actors.SILENT_SECONDS - 5)
    with pytest.raises(WorkerDied, match="node 1 did not answer any more"):
        receive_twice_a_second(10)


def test_a_run_that_was_stopped_goes_on_waiting_for_actors(now: Now) -> None:
    """If the run is stopped while it has no actor, its `wait_seconds` are not over when it goes on."""
    full = Cluster(itertools.repeat(True))
    full.wait = lambda references, num_returns, timeout: ([], references)
    these = Actors(full, ActorNeeds("cpu", 1, 0, "auto"), wait_seconds=60)
    these.ask_for(1)
    now.seconds += 7200.0

    def look_twice_a_second(seconds: float) -> None:
        for _ in range(int(2 * seconds)):
            assert these.connect("ray 1") is None
            now.seconds += 0.5

    look_twice_a_second(55)
    with pytest.raises(ClusterError, match="the Ray cluster had no worker for 60 s"):
        look_twice_a_second(10)
