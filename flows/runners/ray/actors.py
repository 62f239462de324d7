"""Ray actors as the workers of a run: one per GPU, or per so many CPUs, on whichever nodes the cluster has.

An actor that dies, or whose node is lost, is replaced; whoever was waiting for it goes on with the next one that is
idle or comes up. So a run goes on while a single actor is left, and waits a while where there is none.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from flows.errors import ClusterError, PoolStopped, WorkerDied
from flows.runners.device_worker import INTERRUPTED, Began
from flows.runners.ray.actor import Actor, Ended, NodeFacts
from flows.runners.ray.cluster import first_line, reason
from flows.runners.ray.code_version import code_version
from flows.runners.worker_log import Logged

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

NEWS_SECONDS = 2.0
"""How long an actor holds back its answer where it has nothing to say."""
LOOK_SECONDS = 0.5
"""How late a time-out, or a new actor, may be noticed."""
SILENT_SECONDS = 90.0
"""An actor that does not answer for so long counts as lost; Ray itself notices a lost node in about 15 s."""
DEATHS_AT_START = 3
"""Actors that die before they have started, one after the other, until the cluster is given up."""
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


@dataclass(eq=False)
class _Handle:
    """An actor of ours.

    Attributes:
        facts: a reference to what it says of its node, once it is there.
        style: that it did last.
    """

    name: str
    actor: Any
    facts: Any
    host: str = ""
    style: str | None = field(default=None)


class RayWorker:
    """A share in the pool: does one call at a time on an actor, and moves to another one when that is lost."""

    def __init__(self, pool: "RayPool", handle: _Handle) -> None:
        self._pool = pool
        self.handle: _Handle | None = handle
        self.device, self.name = pool.needs.device, handle.name

    @property
    def style(self) -> str | None:
        """The style that its actor did last."""
        return self.handle.style if self.handle else None

    @style.setter
    def style(self, style: str | None) -> None:
        if self.handle:
            self.handle.style = style

    def run_watched(
        self,
        on_message: Callable[[Any], None],
        watch: Callable[[], None],
        function: Callable[Concatenate[Callable[[Any], None], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """See `flows.runners.device_worker.DeviceWorker.run_watched`.

        Raises:
            ClusterError: if there was no actor for too long.
        """
        if self.handle is None:
            self.handle = self._pool.next_idle()
        handle = self.handle
        try:
            ended = self._listen(handle, on_message, watch, (function, args, kwargs))
        except BaseException as error:
            self.handle = None
            self._pool.lose(handle)
            if self._pool.stopped:
                raise PoolStopped(INTERRUPTED) from error
            if isinstance(error, self._pool.ray.exceptions.RayError):
                raise WorkerDied(
                    f"the Ray worker {handle.name} on {handle.host} was lost ({first_line(error)}); if it was killed, "
                    "there may have been too little memory: lower size_px"
                ) from error
            raise
        if ended.error is not None:
            raise ended.error
        return ended.value  # type: ignore[no-any-return]  # of the function, which R is of

    def _listen(
        self, handle: _Handle, on_message: Callable[[Any], None], watch: Callable[[], None], call: tuple[Any, ...]
    ) -> Ended:
        ray, actor = self._pool.ray, handle.actor
        ended, news = actor.call.remote(*call), actor.news.remote(NEWS_SECONDS)
        heard, has_begun = time.monotonic(), False
        while True:
            ready, _ = ray.wait([ended, news], num_returns=1, timeout=LOOK_SECONDS)
            is_over = ended in ready
            if is_over:
                outcome: Ended = ray.get(ended)
            if news in ready or is_over:
                messages = ray.get(news, timeout=SILENT_SECONDS)
                news = actor.news.remote(0.0 if is_over else NEWS_SECONDS)
                if is_over:
                    messages += ray.get(news, timeout=SILENT_SECONDS)
                heard = time.monotonic()
                has_begun = _tell(messages, on_message) or has_begun
            if is_over:
                return outcome
            if time.monotonic() - heard > SILENT_SECONDS:
                raise WorkerDied(f"the Ray worker {handle.name} on {handle.host} did not answer any more")
            if has_begun:
                watch()


class RayPool:
    """The actors of a run.

    Args:
        ray: the module, connected.
        workers: how many actors are asked for; the cluster may take its time, or never have so many.
        wait_seconds: how long a run waits while it has no actor at all.
    """

    def __init__(self, ray: Any, needs: ActorNeeds, wait_seconds: float) -> None:
        self.ray, self.needs, self._wait_seconds = ray, needs, wait_seconds
        self.stopped = False
        self._made = ray.remote(Actor).options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, max_concurrency=THREADS, max_restarts=0, max_task_retries=0
        )
        self._idle: queue.Queue[_Handle] = queue.Queue()
        self._lock = threading.RLock()
        self._coming: list[_Handle] = []
        self._there: list[_Handle] = []
        self._names = 0
        self._deaths_at_start = 0
        self._refused: ClusterError | None = None

    def ask_for(self, workers: int) -> None:
        """Ask for so many actors in all."""
        with self._lock:
            for _ in range(workers - len(self._coming) - len(self._there)):
                self._ask()

    def first_facts(self) -> NodeFacts:
        """Of the first actor that comes up; it stays idle.

        Raises:
            ClusterError: if none does, or it is of no use.
        """
        self.ask_for(1)
        handle = self.next_idle()
        self._idle.put(handle)
        facts: NodeFacts = self.ray.get(handle.facts)
        return facts

    def take(self) -> RayWorker:
        """See `flows.runners.runner.Pool.take`.

        Raises:
            ClusterError: if there was no actor for too long.
        """
        return RayWorker(self, self.next_idle())

    def give_back(self, worker: RayWorker) -> None:
        """See `flows.runners.runner.Pool.give_back`."""
        if worker.handle is not None:
            self._idle.put(worker.handle)

    def styles(self) -> list[str | None]:
        """See `flows.runners.runner.Pool.styles`."""
        return [handle.style for handle in self._there]

    def next_idle(self) -> _Handle:
        """An actor that is idle, as soon as there is one."""
        since = time.monotonic()
        while True:
            self._welcome()
            if self.stopped:
                raise PoolStopped(INTERRUPTED)
            if self._refused is not None:
                raise self._refused
            try:
                handle = self._idle.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._there:
                    since = time.monotonic()
                elif time.monotonic() - since > self._wait_seconds:
                    raise ClusterError(self._nobody_came()) from None
                continue
            if handle in self._there:  # it was lost while it waited
                return handle

    def lose(self, handle: _Handle) -> None:
        """An actor is of no use any more: end it, if it is not dead, and ask for another one."""
        self._kill(handle)
        with self._lock:
            if handle not in self._there:
                return
            self._there.remove(handle)
            if not self.stopped:
                logger.warning("the Ray worker %s on %s is gone; another one is asked for", handle.name, handle.host)
                self._ask()

    def stop(self) -> None:
        """End all actors at once."""
        with self._lock:
            self.stopped = True
            for handle in (*self._coming, *self._there):
                self._kill(handle)
            self._coming.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(self) -> None:
        self._names += 1
        actor = self._made.remote(logging.getLogger("flows").getEffectiveLevel())
        facts = actor.facts.remote(self.needs.device, self.needs.precision)
        self._coming.append(_Handle(f"ray {self._names}", actor, facts))

    def _welcome(self) -> None:
        """Look which actors have come up."""
        with self._lock:
            if self.stopped or not self._coming:
                return
            waiting = {handle.facts: handle for handle in self._coming}
            ready, _ = self.ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            for reference in ready:
                self._coming.remove(waiting[reference])
                self._check(waiting[reference])

    def _check(self, handle: _Handle) -> None:
        try:
            facts: NodeFacts = self.ray.get(handle.facts)
        except self.ray.exceptions.RayError as error:
            self._deaths_at_start += 1
            logger.warning("the Ray worker %s did not start: %s", handle.name, reason(error))
            if self._deaths_at_start >= DEATHS_AT_START:
                self._refused = ClusterError(
                    f"workers do not start on the Ray cluster: {reason(error)}. Every node needs this project "
                    f"installed, version {code_version()}"
                )
            else:
                self._ask()
            return
        handle.host = facts.host
        if facts.code_version != code_version():
            self._kill(handle)
            self._refused = ClusterError(
                f"{facts.host}: expected this project's version {code_version()}, as here, found {facts.code_version}: "
                "install the same on every node"
            )
            return
        self._deaths_at_start = 0
        self._there.append(handle)
        logger.info("the Ray worker %s is there: process %d on %s", handle.name, facts.process_id, facts.host)
        self._idle.put(handle)

    def _kill(self, handle: _Handle) -> None:
        try:
            self.ray.kill(handle.actor)
        except Exception as error:  # noqa: BLE001  # it is gone, or the cluster is
            logger.debug("%s: %s", handle.name, error)

    def _nobody_came(self) -> str:
        needs = f"{self.needs.gpus} GPU and {self.needs.cpus} CPU" if self.needs.gpus else f"{self.needs.cpus} CPU"
        return (
            f"the Ray cluster had no worker for {self._wait_seconds:.0f} s (--ray-wait-seconds); each needs {needs}, "
            f"and the cluster has {_resources(self.ray)}"
        )


def _tell(messages: list[Any], on_message: Callable[[Any], None]) -> bool:
    """Hand messages on; whether the call has begun with them."""
    has_begun = False
    for message in messages:
        if isinstance(message, Began):
            has_begun = True
        elif isinstance(message, Logged):
            message.log()
        else:
            on_message(message)
    return has_begun


def _resources(ray: Any) -> str:
    try:
        found = ray.cluster_resources()
    except Exception:  # noqa: BLE001  # words for an error that is raised anyhow
        return "unknown resources"
    return f"{found.get('GPU', 0):g} GPU and {found.get('CPU', 0):g} CPU"
