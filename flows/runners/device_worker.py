"""One worker process per device, each with its own model; a process that dies takes no other work with it.

Knows nothing of prefect: the threads that drive it may be anybody's.
"""

import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from flows.errors import PoolStopped, WorkerDied
from flows.runners.mailbox import Mailbox, Outbox
from flows.runners.worker_log import Logged, log_to

P = ParamSpec("P")
R = TypeVar("R")

WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Read by OpenMP when a worker loads torch. Threads that spin while they wait lose several times over as soon as
anything else wants a core: the thread that all wait for is then not running. Threads that sleep at once take an eighth
longer over an evaluation on an idle machine. Some ten microseconds of spinning have neither fault; only GNU's OpenMP,
which torch brings on Linux, can be told so."""

INTERRUPTED = "the run was interrupted"

LISTEN_SECONDS = 0.05
"""How long a wait for messages lasts before the call itself is looked at; all that a call's end may be noticed late."""

DEATH_SECONDS = 2.0
"""How long a process may be gone before its call is given up. pebble tells of a death by itself, and sooner, but takes
exit code 0 for a process that had nothing left to do."""


@dataclass(frozen=True)
class Began:
    """The first message of every call."""

    process_id: int


class DeviceWorker:
    """A process of its own for one device; a new one takes over when it dies.

    Args:
        device: such as `cpu` or `cuda:1`.
        name: tells it from others of the same device; by default the device's.

    Attributes:
        style: what whoever lends the worker remembers of it: the style it did last.
    """

    def __init__(self, device: str, name: str | None = None) -> None:
        self.device, self.name = device, name or device
        self.style: str | None = None
        for variable, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(variable, value)  # inherited by the process; it may load torch before the initializer
        self._pool: ProcessPool | None = None
        self._mailbox = Mailbox()
        self._future: Future[Any] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in the process and wait for its result.

        Raises:
            WorkerDied: if the process ended before it had one.
            PoolStopped: if the worker was stopped.
        """
        return self._result(self._schedule(function, *args, **kwargs))

    def run_reporting(
        self,
        on_message: Callable[[Any], None],
        function: Callable[Concatenate[Callable[[Any], None], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `run`, for a function that has something to say before it is done, to a callable in its first place.

        What it says goes to `on_message` as it comes, and all of it before this returns or raises, whatever the end.
        """
        return self.run_watched(on_message, _no_watch, function, *args, **kwargs)

    def run_watched(
        self,
        on_message: Callable[[Any], None],
        watch: Callable[[], None],
        function: Callable[Concatenate[Callable[[Any], None], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `run_reporting`; `watch` is called many times a second, and by raising an error kills the process.

        The first time is when the process has started and takes the call on.
        """
        future = self._schedule(_call_with_report, function, args, kwargs)
        try:
            self._listen(future, on_message, watch)
        except BaseException:
            self._abandon()  # or the next call would hear the rest of this one
            raise
        return self._result(future)

    def _listen(self, future: Future[Any], on_message: Callable[[Any], None], watch: Callable[[], None]) -> None:
        ended, process_id, last_seen = False, None, time.monotonic()
        while not ended:
            ended = future.done()  # asked first: all that was said before the end is then in the mailbox
            for message in self._mailbox.receive(0.0 if ended else LISTEN_SECONDS):
                if isinstance(message, Began):
                    process_id = message.process_id
                elif isinstance(message, Logged):
                    message.log()
                else:
                    on_message(message)
            if process_id is None or _is_running(process_id):
                last_seen = time.monotonic()
            if not ended and time.monotonic() - last_seen > DEATH_SECONDS:
                raise WorkerDied(f"the worker process of {self.device} ended by itself in the middle of its work")
            if not ended and process_id is not None:
                watch()

    def _result(self, future: Future[R]) -> R:
        try:
            return future.result()
        except CancelledError as error:
            raise PoolStopped(INTERRUPTED) from error
        except (ProcessExpired, BrokenExecutor) as error:
            if self._stopped:
                raise PoolStopped(INTERRUPTED) from error
            self._abandon()  # the next process gets a mailbox of its own, without half a message in it
            code = getattr(error, "exitcode", "unknown")
            raise WorkerDied(
                f"the worker process of {self.device} ended with exit code {code}; "
                "if it was killed, there may have been too little memory: lower size_px"
            ) from error

    def _abandon(self) -> None:
        with self._lock:
            self._end_pool()

    def stop(self) -> None:
        """End the process at once; what it was doing is lost."""
        with self._lock:
            self._stopped = True
            if self._future is not None:
                self._future.cancel()  # stopping the pool alone leaves whoever waits for the result waiting
            self._end_pool()

    def _end_pool(self) -> None:
        """Also where pebble gave the pool up: its process may live on, and hold the model."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]  # pebble types only some of its methods
            self._pool.join()
        self._pool = None

    def _schedule(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        with self._lock:
            if self._stopped:
                raise PoolStopped(INTERRUPTED)
            # A process that dies while it is idle breaks pebble's pool for good.
            if self._pool is not None and not self._pool.active:
                self._end_pool()
            if self._pool is None:
                self._mailbox = Mailbox()
                self._pool = _one_process(self._mailbox)
            future: Future[R] = self._pool.schedule(function, args=list(args), kwargs=kwargs)
            self._future = future
            return future


class WorkerPool:
    """The workers of all devices; whoever wants one takes it, waits while all are taken, and gives it back."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._workers = [DeviceWorker(device, name) for device, name in zip(devices, names_of(devices), strict=True)]
        self._idle: queue.SimpleQueue[DeviceWorker | None] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def take(self) -> DeviceWorker:
        """An idle worker, the one that has been so for longest; waits while all are lent.

        Raises:
            PoolStopped: once the pool is stopped.
        """
        worker = self._idle.get()
        if worker is None:
            self._idle.put(None)  # for whoever else waits
            raise PoolStopped(INTERRUPTED)
        return worker

    def give_back(self, worker: DeviceWorker) -> None:
        """Let others have a worker that was taken."""
        self._idle.put(worker)

    def styles(self) -> list[str | None]:
        """What each worker did last, or is at."""
        return [worker.style for worker in self._workers]

    def stop(self) -> None:
        """End all processes at once."""
        self._idle.put(None)
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def names_of(devices: tuple[str, ...]) -> tuple[str, ...]:
    """The names of workers on some devices; those that share a device are numbered.

    >>> names_of(("cpu", "cpu")), names_of(("cuda:0", "cuda:1"))
    (('cpu 1', 'cpu 2'), ('cuda:0', 'cuda:1'))
    """
    if len(set(devices)) == len(devices):
        return devices
    return tuple(f"{device} {number}" for number, device in enumerate(devices, start=1))


def _one_process(mailbox: Mailbox) -> ProcessPool:
    # Spawned, not forked: CUDA and fsspec both break in a forked child.
    return ProcessPool(
        max_workers=1,
        context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(logging.getLogger("flows").getEffectiveLevel(), mailbox.writer),
    )


# In the worker process, whose one outbox this is.
_outboxes: list[Outbox] = []


def _start_worker(level: int, connection: Connection) -> None:
    # Ctrl-C reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outbox = Outbox(connection)
    log_to(outbox.send, level)
    _outboxes.append(outbox)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody; its worker would hold the device, and go on beside the next run's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _no_watch() -> None:
    pass


def _is_running(process_id: int) -> bool:
    return any(process.pid == process_id for process in multiprocessing.active_children())


def _call_with_report(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    _outboxes[0].send(Began(os.getpid()))
    return function(_outboxes[0].send, *args, **kwargs)
