"""A pool of workers: it lends them to threads that have a batch, and replaces their processes when those die.

A worker is a slot with a name and a device. Its calls are executed by a separate process, which it reaches over a link.
The function `connect` provides links: a process on this machine is available at once, a Ray actor once the cluster has
room. The pool is independent of prefect: any threads may drive the workers.
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
"""The polling interval: the longest delay until a time-out or a new link is noticed."""

INTERRUPTED = "the run was interrupted"
"""The message of `PoolStopped`."""


@dataclass(frozen=True)
class Link:
    """A connection to one process, wherever it runs, that executes one call at a time.

    Attributes:
        call: send a call to the process.
        receive: wait at most this many seconds for messages of the call and pass each to a callable; raises WorkerDied,
            whose message says how, if the process has ended.
        kill: end the process if it is alive; any thread may call this, and more than once.
        is_alive: return whether the process is alive, as far as is known without a call.
        set_aside: announce, with the reason, that no more calls are made; the process stays until it is killed.
    """

    call: Callable[[Call], None]
    receive: Callable[[float, Emit], None]
    kill: Callable[[], None]
    is_alive: Callable[[], bool]
    set_aside: Callable[[str], None] = lambda _why: None


class Worker:
    """A worker, which executes one call at a time.

    Attributes:
        name: the name shown to the user.
        device: the device that its calls use, as the engine names it, such as `cuda:1`.
        style: the style of its last batch, which its process has cached; the scheduler sets this.
        link: the link to the process that executes its calls; None while it has none.
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
        """Call a function in the worker's process; its first argument there is a callable that emits messages.

        Every message goes to `on_message` as it arrives, and all have been delivered when this returns or raises.

        Args:
            on_message: receives the function's messages.
            watch: called at least twice a second; if it raises an error, the process is killed.
            function: a function of a module that the worker's process can import.
            args: positional arguments after the first one.
            kwargs: keyword arguments.

        Raises:
            WorkerDied: if the process ended before the function returned.
            DeviceLost: if the function raised it; the next call uses another process.
            PoolStopped: if the pool was stopped.
            ClusterError: if the cluster had no actor for too long.
        """
        link = self._pool.link_of(self)
        messages = _CallMessages(on_message)
        try:
            link.call(Call(function, args, kwargs))
            while messages.ended is None:
                link.receive(LISTEN_SECONDS, messages)
                if messages.ended is None:
                    watch()
        except BaseException as error:
            self._pool.lose(self, link)  # otherwise the next call would receive the remaining messages of this one
            if self._pool.is_stopped:
                raise PoolStopped(INTERRUPTED) from error
            raise
        if isinstance(messages.ended.error, DeviceLost):
            self._pool.lose(self, link)
        if messages.ended.error is not None:
            raise messages.ended.error
        return messages.ended.value  # type: ignore[no-any-return]  # the function's return value, of type R


class _CallMessages:
    """Sorts the messages of a call: keeps its end, logs its log lines, and forwards the function's own messages."""

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
        elif self.has_begun:  # before that, it is a late message from a thread of the previous call
            self._on_message(message)


class Pool:
    """The workers of a run: a thread takes an idle worker, waiting while all are taken, and gives it back.

    Args:
        places: the name and device of every worker.
        connect: returns a link to a new process for the worker with a name, or None while none is available.
        close: called when the pool is stopped: no more processes may start.
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
        self._without_link = 0  # workers that are lent and are waiting for a link in place of one that they lost
        self._changed = threading.Condition()
        self.is_stopped = False

    def take(self) -> Worker:
        """Wait for an idle worker and lend it; the caller has to give it back.

        Raises:
            PoolStopped: once the pool is stopped.
            ClusterError: if the cluster had no actor for too long.
        """
        return self._wait_for(self._next)

    def give_back(self, worker: Worker) -> None:
        """Return a worker that was taken to the pool; any thread may call this."""
        with self._changed:
            if worker in self._workers:
                self._idle.append(worker)
            self._changed.notify_all()

    def strike_off(self, worker: Worker, why: str) -> bool:
        """Never again lend a worker that was taken, because its device cannot be used; return whether others are left.

        Its process stays until the pool is stopped: otherwise a cluster would start the next one on the same device.
        """
        with self._changed:
            self._workers.remove(worker)
            self._struck_off.append(worker)
            if worker.link is not None:
                worker.link.set_aside(why)
            return bool(self._workers)

    def styles(self) -> list[str | None]:
        """Return the style of each worker's current or last batch."""
        return [worker.style for worker in self._workers]

    def stop(self) -> None:
        """Kill all processes at once, losing the work in progress; any thread may call this."""
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
        """Return the link of a worker that was taken; if its process has died, wait for another one.

        Raises:
            PoolStopped: once the pool is stopped.
            ClusterError: if the cluster had no actor for too long.
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
        """Drop the link of a worker whose process must not be used any more, and kill the process."""
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
        """Return the worker that has been idle for longest, preferring those with a process; None if there is none."""
        if self._without_link:  # workers in the middle of a batch get new links first: others may wait for its end
            return None
        with_link = (worker for worker in self._idle if worker.link is not None)
        worker = next(with_link, next(iter(self._idle), None))
        if worker is None:
            return None
        worker.link = worker.link or self._connect(worker.name)
        if worker.link is None:
            return None
        self._idle.remove(worker)
        return worker

    def _another(self, worker: Worker) -> Link | None:
        """Return a link to a new process, or take over an idle worker's: a run continues while one process is left."""
        worker.link = self._connect(worker.name)
        idle = next((other for other in self._idle if other.link is not None), None)
        if worker.link is None and idle is not None:
            worker.link, idle.link, idle.style = idle.link, None, None
        return worker.link
