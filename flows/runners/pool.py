"""The workers of a run: lent to whoever has a batch, listened to while they do it, replaced when they die.

A worker is a place with a name and a device; whoever does its calls is a process of its own somewhere, reached over a
link. Where links come from is up to `connect`: a process of this machine is there at once, a Ray actor when the
cluster has room. Knows nothing of prefect: the threads that drive the workers may be anybody's.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from flows.errors import DeviceLost, PoolStopped
from flows.runners.protocol import Call, CallBegan, CallEnded, Emit, Logged

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

LISTEN_SECONDS = 0.5
"""How late a time-out, or a link that has come up, may be noticed."""

INTERRUPTED = "the run was interrupted"


@dataclass(frozen=True)
class Link:
    """A way to one process that does a call at a time, wherever it is.

    Attributes:
        call: hand a call over.
        receive: wait at most so many seconds for what the call has to say, and have it heard; WorkerDied if the
            process is gone, in words that say how.
        kill: end the process, if it is not dead; by any thread, and more than once.
        is_alive: as far as can be told without a call.
        set_aside: is told why no call is made any more, though the process stays until it is killed.
    """

    call: Callable[[Call], None]
    receive: Callable[[float, Emit], None]
    kill: Callable[[], None]
    is_alive: Callable[[], bool]
    set_aside: Callable[[str], None] = lambda _why: None


class Worker:
    """Does one batch at a time.

    Attributes:
        name: for people.
        device: what it says of itself to the engine, such as `cuda:1`.
        style: what whoever lends the worker remembers of it: the style it did last, and has warm.
        link: to the process that does its calls, while there is one.
    """

    def __init__(self, pool: "Pool", name: str, device: str) -> None:
        self.name, self.device = name, device
        self.style: str | None = None
        self.link: Link | None = None
        self._pool = pool

    def run_watched(
        self,
        on_message: Callable[[Any], None],
        watch: Callable[[], None],
        function: Callable[Concatenate[Callable[[Any], None], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call a function in the worker's process, with a callable for what it has to say in its first place.

        What it says goes to `on_message` as it comes, and all of it before this returns or raises, whatever the end.
        `watch` is called at least twice a second, and by raising an error kills the process.

        Raises:
            WorkerDied: if the process ended before the function had.
            DeviceLost: if the function says so; the next call has another process.
            PoolStopped: if the pool was stopped.
            ClusterError: if there was no actor for too long.
        """
        link = self._pool.link_of(self)
        heard = _CallMessages(on_message)
        try:
            link.call(Call(function, args, kwargs))
            while heard.ended is None:
                link.receive(LISTEN_SECONDS, heard)
                if heard.ended is None:
                    watch()
        except BaseException as error:
            self._pool.lose(self, link)  # or the next call would receive the rest of this one
            if self._pool.is_stopped:
                raise PoolStopped(INTERRUPTED) from error
            raise
        if isinstance(heard.ended.error, DeviceLost):
            self._pool.lose(self, link)
        if heard.ended.error is not None:
            raise heard.ended.error
        return heard.ended.value  # type: ignore[no-any-return]  # of the function, which R is of


class _CallMessages:
    """What was heard of a call."""

    def __init__(self, on_message: Callable[[Any], None]) -> None:
        self._on_message = on_message
        self.has_begun = False
        self.ended: CallEnded | None = None

    def __call__(self, message: object) -> None:
        if isinstance(message, CallBegan):
            self.has_begun = True
        elif isinstance(message, CallEnded):
            self.ended = message
        elif isinstance(message, Logged):
            message.log()
        elif self.has_begun:  # or a thread of the call before has said it too late
            self._on_message(message)


class Pool:
    """All workers of a run; whoever wants one takes it, waits while all are taken, and gives it back.

    Args:
        places: the name and device of every worker.
        connect: a link to a new process for the worker of a name, or None while there is none to be had.
        close: have no more processes come.
    """

    def __init__(
        self,
        places: Sequence[tuple[str, str]],
        connect: Callable[[str], Link | None],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._workers = [Worker(self, name, device) for name, device in places]
        self._connect, self._close = connect, close
        self._idle = deque(self._workers)
        self._struck_off: list[Worker] = []
        self._without_link = 0  # workers that are lent, have lost theirs, and wait for another
        self._changed = threading.Condition()
        self.is_stopped = False

    def take(self) -> Worker:
        """A worker that is idle, as soon as there is one; it is to be given back.

        Raises:
            PoolStopped: once the pool is stopped.
            ClusterError: if there was no actor for too long.
        """
        return self._wait_for(self._next)

    def give_back(self, worker: Worker) -> None:
        """Let others have a worker that was taken; called by any thread."""
        with self._changed:
            if worker in self._workers:
                self._idle.append(worker)
            self._changed.notify_all()

    def strike_off(self, worker: Worker, why: str) -> bool:
        """Never lend a worker again that was taken, as its device is of no use; whether there are others.

        Its process stays until the pool is stopped: in its place a cluster would start the next one.
        """
        with self._changed:
            self._workers.remove(worker)
            self._struck_off.append(worker)
            if worker.link is not None:
                worker.link.set_aside(why)
            return bool(self._workers)

    def styles(self) -> list[str | None]:
        """What each worker did last, or is at."""
        return [worker.style for worker in self._workers]

    def stop(self) -> None:
        """End all work at once; called by any thread. What was being done is lost."""
        with self._changed:
            self.is_stopped = True
            self._close()
            for worker in (*self._workers, *self._struck_off):
                if worker.link is not None:
                    worker.link.kill()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def link_of(self, worker: Worker) -> Link:
        """The link of a worker that was taken; another one, as soon as there is one, where its process has died.

        Raises:
            PoolStopped: once the pool is stopped.
            ClusterError: if there was no actor for too long.
        """
        with self._changed:
            if worker.link is not None and not worker.link.is_alive():
                worker.link = None
            self._without_link += 1
            try:
                return self._wait_for(lambda: worker.link or self._another(worker))
            finally:
                self._without_link -= 1
                self._changed.notify_all()

    def lose(self, worker: Worker, link: Link) -> None:
        """A worker's process is of no use any more: end it, if it is not dead."""
        with self._changed:
            worker.link = None
        link.kill()

    def _wait_for(self, look: Callable[[], T | None]) -> T:
        with self._changed:
            while True:
                if self.is_stopped:
                    raise PoolStopped(INTERRUPTED)
                found = look()
                if found is not None:
                    return found
                self._changed.wait(LISTEN_SECONDS)

    def _next(self) -> Worker | None:
        """The worker that has been idle for longest, of those with a process if there are any."""
        if self._without_link:  # whoever is in the middle of a batch goes first: others may wait for that one's end
            return None
        worker = next((one for one in self._idle if one.link is not None), next(iter(self._idle), None))
        if worker is None:
            return None
        worker.link = worker.link or self._connect(worker.name)
        if worker.link is None:
            return None
        self._idle.remove(worker)
        return worker

    def _another(self, worker: Worker) -> Link | None:
        """A new process for a worker, or that of an idle one: so a run goes on while a single process is left."""
        worker.link = self._connect(worker.name)
        idle = next((one for one in self._idle if one.link is not None), None)
        if worker.link is None and idle is not None:
            worker.link, idle.link, idle.style = idle.link, None, None
        return worker.link
