"""One worker process per device, each with its own model; a process that dies takes no other work with it.

Knows nothing of prefect: the threads that drive it may be anybody's.
"""

import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from flows.mailbox import Mailbox, Outbox
from nst_core.errors import NstError

P = ParamSpec("P")
R = TypeVar("R")

WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Read by OpenMP when a worker loads torch. Threads that spin while they wait are a little faster on an idle machine,
but lose several times over as soon as anything else wants a core: the thread that all wait for is then not running."""

INTERRUPTED = "the run was interrupted"

LISTEN_SECONDS = 0.05
"""How long a wait for messages lasts before the call itself is looked at; all that a call's end may be noticed late."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class WorkerDied(NstError):
    """The worker process was killed or crashed in the middle of a call; most often the system was out of memory."""

    kind = "worker_died"
    retryable = True


class PoolStopped(NstError):
    """The run is being interrupted: no more pairs are taken on, and those in flight are dropped."""

    kind = "interrupted"
    retryable = True


class DeviceWorker:
    """A process of its own for one device; a new one takes over when it dies."""

    def __init__(self, device: str) -> None:
        self.device = device
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # inherited by the process; it may load torch before the initializer
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
        future = self._schedule(_call_with_report, function, args, kwargs)
        try:
            self._listen(future, on_message)
        except BaseException:
            self._abandon()  # or the next call would hear the rest of this one
            raise
        return self._result(future)

    def _listen(self, future: Future[Any], on_message: Callable[[Any], None]) -> None:
        ended = False
        while not ended:
            ended = future.done()  # asked first: all that was said before the end is then in the mailbox
            for message in self._mailbox.receive(0.0 if ended else LISTEN_SECONDS):
                on_message(message)

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
    """The workers of all devices; a thread borrows one, and waits while all are lent."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._workers = [DeviceWorker(device) for device in devices]
        self._idle: queue.SimpleQueue[DeviceWorker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    @contextmanager
    def borrow(self) -> Iterator[DeviceWorker]:
        """An idle worker, for as long as the block lasts."""
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def stop(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


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
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    for name in ("flows", "nst_core"):
        logging.getLogger(name).setLevel(level)
    _outboxes.append(Outbox(connection))


def _call_with_report(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    return function(_outboxes[0].send, *args, **kwargs)
