"""The lifecycle of Ray actors, the processes of a run's workers: one per GPU, or per number of CPUs, on any node.

Actors start concurrently with the work, as many as the cluster has room for; one that dies, or whose node is lost, is
replaced. A run continues while a single actor is left, and waits for a limited time if there is none.
"""

import logging
import pickle
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.clock import awake_seconds
from flows.errors import ClusterError, WorkerDied
from flows.runners.pool import LISTEN_SECONDS, Link
from flows.runners.protocol import Call, Emit
from flows.runners.ray.actor import Actor, NodeFacts, code_version
from flows.runners.ray.cluster import first_line, reason

logger = logging.getLogger(__name__)

NEWS_SECONDS = 2.0
"""How long an actor waits for a message before it returns an empty answer (long polling)."""
SILENT_SECONDS = 90.0
"""An actor that does not answer for this long counts as lost; Ray itself notices a lost node in about 15 s."""
DEATHS_AT_START = 3
"""The number of actors in a row that die before they have started after which the run gives up the cluster; it never
gives up for that reason while other actors are at work."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""The pause before requesting a replacement for an actor that did not start while others are at work: exponential
backoff from the first to the second."""
THREADS = 4
"""The number of an actor's threads: one for its call, the others for requests for its messages."""


@dataclass(frozen=True)
class ActorNeeds:
    """The resources of each actor.

    Attributes:
        device: the device as the actor names it; Ray makes only one GPU visible to it.
        cpus, gpus: the numbers of CPUs and GPUs that Ray reserves for it.
        precision: the precision that the run requests; each node resolves `auto` for itself.
    """

    device: str
    cpus: int
    gpus: int
    precision: str


class Actors:
    """The actors of a run, from the request for them to their end.

    Args:
        ray: the ray module, connected to a cluster.
        needs: the resources of each actor.
        wait_seconds: how long a run waits while it has no actor at all.
    """

    def __init__(self, ray: Any, needs: ActorNeeds, wait_seconds: float) -> None:
        self._ray, self._needs, self._wait_seconds = ray, needs, wait_seconds
        self._actor_class = ray.remote(Actor).options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, max_concurrency=THREADS, max_restarts=0, max_task_retries=0
        )
        self._first: NodeFacts | None = None
        self._lock = threading.RLock()
        self._starting: dict[Any, Any] = {}  # the reference to an actor's NodeFacts -> the actor
        self._later: list[float] = []  # the times at which to request further actors
        self._ready: deque[Link] = deque()
        self._running: set[_Channel] = set()
        self._left_out: list[tuple[Any, str]] = []  # actors that get no calls, each with the reason
        self._none_since = awake_seconds()
        self._deaths_at_start = 0
        self._refused: ClusterError | None = None
        self._closed = False

    def ask_for(self, actors: int) -> None:
        """Request this many actors in total; the cluster may start them late, or never have room for so many."""
        with self._lock:
            for _ in range(actors - len(self._starting) - len(self._later) - len(self._running)):
                self._request()

    def first_facts(self) -> NodeFacts:
        """Wait for the first actor that starts, and return the facts about its node.

        Raises:
            ClusterError: if none starts in time, or none that could be used.
        """
        self.ask_for(1)
        while self._first is None:
            with self._lock:
                self._admit_started(LISTEN_SECONDS)
        return self._first

    def connect(self, _name: str) -> Link | None:
        """Return a link to an actor that has started and has no worker yet, or None if there is none.

        Raises:
            ClusterError: if the cluster had no actor at all for too long, or its actors cannot be used.
        """
        with self._lock:
            self._admit_started()
            return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """Kill all actors, including those that have not started yet."""
        with self._lock:
            self._closed = True
            for actor in (
                *self._starting.values(),
                *(actor for actor, _ in self._left_out),
                *(channel.actor for channel in self._running),
            ):
                self._kill(actor)
            self._starting.clear()
            self._later.clear()

    def _request(self) -> None:
        actor = self._actor_class.remote(logging.getLogger("flows").getEffectiveLevel())
        self._starting[actor.facts.remote(self._needs.device, self._needs.precision)] = actor

    def _admit_started(self, seconds: float = 0.0) -> None:
        """Check the actors that have started; with `seconds`, wait at most that long for one."""
        self._request_those_due()
        if self._starting and not self._closed:
            wanted = 1 if seconds else len(self._starting)
            ready, _ = self._ray.wait(list(self._starting), num_returns=wanted, timeout=seconds)
            for reference in ready:
                self._admit(self._starting.pop(reference), reference)
        if self._refused is not None:
            raise self._refused
        if not self._running and awake_seconds() - self._none_since > self._wait_seconds:
            raise ClusterError(self._no_worker_message())

    def _admit(self, actor: Any, reference: Any) -> None:
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
        channel = _Channel(self._ray, actor, facts.host)
        self._running.add(channel)
        self._ready.append(
            Link(
                channel.call,
                channel.receive,
                kill=partial(self._lose, channel),
                is_alive=lambda: True,
                set_aside=partial(self._set_aside, channel),
            )
        )
        logger.info("a Ray worker is there: process %d on %s", facts.process_id, facts.host)

    def _why_useless(self, facts: NodeFacts) -> str:
        in_bf16 = self._first is not None and self._first.precision == "bf16"
        if self._needs.gpus and in_bf16 and facts.precision != "bf16" and not facts.useless:
            return "its GPU cannot multiply bf16, which this run began with; --precision fp32 uses it too"
        return facts.useless

    def _leave_out(self, actor: Any, sentence: str) -> None:
        """Give an actor no calls but keep it alive, and request another one.

        The actor keeps its resources reserved: if it ended, Ray would start the next one on the same useless node.
        """
        self._left_out.append((actor, sentence))
        logger.warning("%s", sentence)
        self._request()

    def _count_death(self, error: Exception) -> None:
        self._deaths_at_start += 1
        is_enough = self._deaths_at_start >= DEATHS_AT_START
        if self._running or (is_enough and self._starting):  # perhaps a single node is broken and the others are fine
            doubled = FIRST_PAUSE_SECONDS * 2 ** min(self._deaths_at_start - 1, 10)
            pause = min(LONGEST_PAUSE_SECONDS, doubled if self._running else LONGEST_PAUSE_SECONDS)
            self._later.append(time.monotonic() + pause)
            logger.warning("a Ray worker did not start: %s; another one is requested in %.0f s", reason(error), pause)
            return
        logger.warning("a Ray worker did not start: %s", reason(error))
        if is_enough:
            self._refused = ClusterError(
                f"workers do not start on the Ray cluster: {reason(error)}. Every node needs this project "
                f"installed, version {code_version()}"
            )
        else:
            self._request()

    def _request_those_due(self) -> None:
        now = time.monotonic()
        due = [when for when in self._later if when <= now]
        self._later = [when for when in self._later if when > now]
        for _ in due:
            self._request()

    def _lose(self, channel: "_Channel") -> None:
        """Kill an actor that must not be used any more, and request another one."""
        self._kill(channel.actor)
        with self._lock:
            if channel not in self._running or self._closed:
                return
            self._take_out(channel)
            logger.warning("the Ray worker on %s is gone; another one is requested", channel.host)
            self._request()

    def _set_aside(self, channel: "_Channel", why: str) -> None:
        """Give no more calls to an actor that turned out to be useless, but keep it alive, see `_leave_out`.

        No replacement is requested; a run that has no other actor waits for one.
        """
        with self._lock:
            if channel in self._running:
                self._take_out(channel)
                self._left_out.append((channel.actor, f"{channel.host} is left out: {why}"))

    def _take_out(self, channel: "_Channel") -> None:
        """Remove an actor from those that are running."""
        self._running.remove(channel)
        if not self._running:
            self._none_since = awake_seconds()
            # Without any actor, replacements are requested at once, and deaths at start are counted from zero.
            self._deaths_at_start, self._later = 0, [0.0 for _ in self._later]

    def _kill(self, actor: Any) -> None:
        try:
            self._ray.kill(actor)
        except Exception as error:  # noqa: BLE001  # the actor, or the cluster, is gone already
            logger.debug("%s: %s", actor, error)

    def _no_worker_message(self) -> str:
        needs = f"{self._needs.gpus} GPU and " if self._needs.gpus else ""
        return (
            f"the Ray cluster had no worker for {self._wait_seconds:.0f} s (--ray-wait-seconds); each needs "
            f"{needs}{self._needs.cpus} CPU, and the cluster has {_resources(self._ray)}"
            f"{''.join(f'; {sentence}' for sentence in dict.fromkeys(sentence for _, sentence in self._left_out))}"
        )


class _Channel:
    """The connection to one actor: sends it calls and polls for their messages."""

    def __init__(self, ray: Any, actor: Any, host: str) -> None:
        self._ray, self.actor, self.host = ray, actor, host
        self._news: Any = None  # the reference to the answer that is awaited
        self._answered_at = 0.0

    def call(self, call: Call) -> None:
        """Implement `Link.call`."""
        self._answered_at = awake_seconds()
        self.actor.call.remote(pickle.dumps(call))

    def receive(self, seconds: float, on_message: Emit) -> None:
        """Implement `Link.receive`; an actor that does not answer for too long counts as lost."""
        try:
            messages = self._messages_within(seconds)
        except self._ray.exceptions.RayError as error:
            raise WorkerDied(
                f"the Ray worker on {self.host} was lost ({first_line(error)}); if it was killed, there may have "
                "been too little memory: lower size_px"
            ) from error
        if messages is not None:
            self._answered_at = awake_seconds()
        elif awake_seconds() - self._answered_at > SILENT_SECONDS:
            raise WorkerDied(f"the Ray worker on {self.host} did not answer any more")
        for data in messages or []:
            on_message(pickle.loads(data))  # noqa: S301  # from this project's code, whose version was checked

    def _messages_within(self, seconds: float) -> list[bytes] | None:
        """Return the actor's messages, or None if it does not answer within `seconds`.

        There is only one request at a time: the actor returns each message once, so an abandoned request would lose it.
        """
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
        resources = ray.cluster_resources()
    except Exception:  # noqa: BLE001  # this text is part of an error that is raised in any case
        return "unknown resources"
    return f"{resources.get('GPU', 0):g} GPU and {resources.get('CPU', 0):g} CPU"
