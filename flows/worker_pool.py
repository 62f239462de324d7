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
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from nst_core.errors import NstError

P = ParamSpec("P")
R = TypeVar("R")

WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Read by OpenMP when a worker loads torch. Threads that spin while they wait are a little faster on an idle machine,
but lose several times over as soon as anything else wants a core: the thread that all wait for is then not running."""

INTERRUPTED = "the run was interrupted"

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class WorkerDied(NstError):
    """The worker process was killed or crashed in the middle of a pair; most often the system was out of memory."""

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
        self._future: Future[Any] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in the process and wait for its result.

        Raises:
            WorkerDied: if the process ended before it had one.
            PoolStopped: if the worker was stopped.
        """
        future = self._schedule(function, *args, **kwargs)
        try:
            return future.result()
        except CancelledError as error:
            raise PoolStopped(INTERRUPTED) from error
        except (ProcessExpired, BrokenExecutor) as error:
            if self._stopped:
                raise PoolStopped(INTERRUPTED) from error
            code = getattr(error, "exitcode", "unknown")
            raise WorkerDied(
                f"the worker process of {self.device} ended with exit code {code}; "
                "if it was killed, there may have been too little memory: lower size_px"
            ) from error

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
                self._pool = _one_process()
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


def _one_process() -> ProcessPool:
    # Spawned, not forked: CUDA and fsspec both break in a forked child.
    return ProcessPool(
        max_workers=1,
        context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(logging.getLogger("flows").getEffectiveLevel(),),
    )


def _start_worker(level: int) -> None:
    # Ctrl-C reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    for name in ("flows", "nst_core"):
        logging.getLogger(name).setLevel(level)
