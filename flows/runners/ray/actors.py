"""Ray actors as the processes of a run's workers: one per GPU, or per so many CPUs, on whichever nodes the cluster has.

They come up beside the work, as many as the cluster has room for; one that dies, or whose node is lost, is asked for
again. A run goes on while a single actor is left, and waits a while where there is none.
"""

import logging
import pickle
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.errors import ClusterError, WorkerDied
from flows.runners.pool import LISTEN_SECONDS, Link
from flows.runners.protocol import Call, Emit
from flows.runners.ray.actor import Actor, NodeFacts, code_version
from flows.runners.ray.cluster import first_line, reason

logger = logging.getLogger(__name__)

NEWS_SECONDS = 2.0
"""How long an actor holds back its answer where it has nothing to say."""
SILENT_SECONDS = 90.0
"""An actor that does not answer for so long counts as lost; Ray itself notices a lost node in about 15 s."""
DEATHS_AT_START = 3
"""Actors that die before they have started, one after the other, until the cluster is given up; where others are at
work, it never is for that."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""Before an actor in place of one that did not start is asked for while others are at work; doubled with each."""
THREADS = 4
"""Of an actor: its call, and whoever asks for news."""


@dataclass(frozen=True)
class ActorNeeds:
    """What each actor is given.

    Attributes:
        device: as the actor calls it; Ray shows it one GPU alone.
        cpus, gpus: that Ray keeps for it.
        precision: as the run wishes; `auto` is up to the node.
    """

    device: str
    cpus: int
    gpus: int
    precision: str


class Actors:
    """The actors of a run, from their asking to their end.

    Args:
        ray: the module, connected.
        wait_seconds: how long a run waits while it has no actor at all.
    """

    def __init__(self, ray: Any, needs: ActorNeeds, wait_seconds: float) -> None:
        self._ray, self._needs, self._wait_seconds = ray, needs, wait_seconds
        self._made = ray.remote(Actor).options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, max_concurrency=THREADS, max_restarts=0, max_task_retries=0
        )
        self._first: NodeFacts | None = None
        self._lock = threading.RLock()
        self._coming: dict[Any, Any] = {}  # a reference to what it says of its node -> the actor
        self._later: list[float] = []  # when further ones are to be asked for
        self._ready: deque[Link] = deque()
        self._there: set[_Talk] = set()
        self._left_out: list[tuple[Any, str]] = []  # and why
        self._nobody_since = time.monotonic()
        self._deaths_at_start = 0
        self._refused: ClusterError | None = None
        self._closed = False

    def ask_for(self, actors: int) -> None:
        """Ask for so many in all; the cluster may take its time, or never have so many."""
        with self._lock:
            for _ in range(actors - len(self._coming) - len(self._later) - len(self._there)):
                self._ask()

    def first_facts(self) -> NodeFacts:
        """Of the first of them that comes up.

        Raises:
            ClusterError: if none does, or it is of no use.
        """
        self.ask_for(1)
        while self._first is None:
            with self._lock:
                self._welcome(LISTEN_SECONDS)
        return self._first

    def connect(self, _name: str) -> Link | None:
        """A link to an actor that has come up and serves nobody, if there is one.

        Raises:
            ClusterError: if there was none at all for too long, or they are of no use.
        """
        with self._lock:
            self._welcome()
            return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """End them all, and those that have not come up yet."""
        with self._lock:
            self._closed = True
            for actor in (
                *self._coming.values(),
                *(actor for actor, _ in self._left_out),
                *(talk.actor for talk in self._there),
            ):
                self._kill(actor)
            self._coming.clear()
            self._later.clear()

    def _ask(self) -> None:
        actor = self._made.remote(logging.getLogger("flows").getEffectiveLevel())
        self._coming[actor.facts.remote(self._needs.device, self._needs.precision)] = actor

    def _welcome(self, seconds: float = 0.0) -> None:
        """Look which actors have come up, or wait for one at most so long."""
        self._ask_for_those_due()
        if self._coming and not self._closed:
            wanted = 1 if seconds else len(self._coming)
            ready, _ = self._ray.wait(list(self._coming), num_returns=wanted, timeout=seconds)
            for reference in ready:
                self._check(self._coming.pop(reference), reference)
        if self._refused is not None:
            raise self._refused
        if not self._there and time.monotonic() - self._nobody_since > self._wait_seconds:
            raise ClusterError(self._nobody_came())

    def _check(self, actor: Any, reference: Any) -> None:
        try:
            facts: NodeFacts = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._count_death(error)
            return
        if facts.code_version != code_version():
            self._kill(actor)
            self._refused = ClusterError(
                f"{facts.host}: expected this project's version {code_version()}, as here, found {facts.code_version}: "
                "install the same on every node"
            )
            return
        self._deaths_at_start = 0
        if why := self._why_useless(facts):
            self._leave_out(actor, f"{facts.host} is left out: {why}")
            return
        self._first = self._first or facts
        talk = _Talk(self._ray, actor, facts.host)
        self._there.add(talk)
        self._ready.append(
            Link(
                talk.call,
                talk.receive,
                kill=partial(self._lose, talk),
                is_alive=lambda: True,
                set_aside=partial(self._set_aside, talk),
            )
        )
        logger.info("a Ray worker is there: process %d on %s", facts.process_id, facts.host)

    def _why_useless(self, facts: NodeFacts) -> str:
        in_bf16 = self._first is not None and self._first.precision == "bf16"
        if self._needs.gpus and in_bf16 and facts.precision != "bf16" and not facts.useless:
            return "its GPU cannot multiply bf16, which this run began with; --precision fp32 uses it too"
        return facts.useless

    def _leave_out(self, actor: Any, sentence: str) -> None:
        """Keep an actor from work but not from its place, where the next one would come up instead; ask for that."""
        self._left_out.append((actor, sentence))
        logger.warning("%s", sentence)
        self._ask()

    def _count_death(self, error: Exception) -> None:
        self._deaths_at_start += 1
        is_enough = self._deaths_at_start >= DEATHS_AT_START
        if self._there or (is_enough and self._coming):  # it may be the fault of one node, and those of others are well
            doubled = FIRST_PAUSE_SECONDS * 2 ** min(self._deaths_at_start - 1, 10)
            pause = min(LONGEST_PAUSE_SECONDS, doubled if self._there else LONGEST_PAUSE_SECONDS)
            self._later.append(time.monotonic() + pause)
            logger.warning("a Ray worker did not start: %s; another one is asked for in %.0f s", reason(error), pause)
            return
        logger.warning("a Ray worker did not start: %s", reason(error))
        if is_enough:
            self._refused = ClusterError(
                f"workers do not start on the Ray cluster: {reason(error)}. Every node needs this project "
                f"installed, version {code_version()}"
            )
        else:
            self._ask()

    def _ask_for_those_due(self) -> None:
        now = time.monotonic()
        due = [when for when in self._later if when <= now]
        self._later = [when for when in self._later if when > now]
        for _ in due:
            self._ask()

    def _lose(self, talk: "_Talk") -> None:
        """An actor is of no use any more: end it, if it is not dead, and ask for another one."""
        self._kill(talk.actor)
        with self._lock:
            if talk not in self._there or self._closed:
                return
            self._take_out(talk)
            logger.warning("the Ray worker on %s is gone; another one is asked for", talk.host)
            self._ask()

    def _set_aside(self, talk: "_Talk", why: str) -> None:
        """An actor has turned out to be of no use: it keeps its place, and a run that has no other waits for one."""
        with self._lock:
            if talk in self._there:
                self._take_out(talk)
                self._left_out.append((talk.actor, f"{talk.host} is left out: {why}"))

    def _take_out(self, talk: "_Talk") -> None:
        """Of those that are there."""
        self._there.remove(talk)
        if not self._there:
            self._nobody_since = time.monotonic()
            self._deaths_at_start, self._later = 0, [0.0 for _ in self._later]  # now any node would do

    def _kill(self, actor: Any) -> None:
        try:
            self._ray.kill(actor)
        except Exception as error:  # noqa: BLE001  # it is gone, or the cluster is
            logger.debug("%s: %s", actor, error)

    def _nobody_came(self) -> str:
        needs = f"{self._needs.gpus} GPU and " if self._needs.gpus else ""
        return (
            f"the Ray cluster had no worker for {self._wait_seconds:.0f} s (--ray-wait-seconds); each needs "
            f"{needs}{self._needs.cpus} CPU, and the cluster has {_resources(self._ray)}"
            f"{''.join(f'; {sentence}' for sentence in dict.fromkeys(sentence for _, sentence in self._left_out))}"
        )


class _Talk:
    """Calls and news of one actor."""

    def __init__(self, ray: Any, actor: Any, host: str) -> None:
        self._ray, self.actor, self.host = ray, actor, host
        self._news: Any = None
        self._heard = 0.0

    def call(self, call: Call) -> None:
        """See `Link.call`."""
        self._heard = time.monotonic()
        self.actor.call.remote(pickle.dumps(call))

    def receive(self, seconds: float, on_message: Emit) -> None:
        """See `Link.receive`; an actor that is silent for too long counts as lost."""
        try:
            messages = self._said_within(seconds)
        except self._ray.exceptions.RayError as error:
            raise WorkerDied(
                f"the Ray worker on {self.host} was lost ({first_line(error)}); if it was killed, there may have "
                "been too little memory: lower size_px"
            ) from error
        if messages is not None:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > SILENT_SECONDS:
            raise WorkerDied(f"the Ray worker on {self.host} did not answer any more")
        for data in messages or []:
            on_message(pickle.loads(data))  # noqa: S301  # of our own code, as was checked

    def _said_within(self, seconds: float) -> list[bytes] | None:
        """Its news, if it answers by then: it is asked one question at a time, as an answer is given once."""
        if self._news is None:
            self._news = self.actor.news.remote(NEWS_SECONDS)
        ready, _ = self._ray.wait([self._news], timeout=seconds)
        if not ready:
            return None
        messages: list[bytes] = self._ray.get(self._news)
        self._news = None
        return messages


def _resources(ray: Any) -> str:
    try:
        found = ray.cluster_resources()
    except Exception:  # noqa: BLE001  # words for an error that is raised anyhow
        return "unknown resources"
    return f"{found.get('GPU', 0):g} GPU and {found.get('CPU', 0):g} CPU"
