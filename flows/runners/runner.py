"""What a run needs of wherever its batches are done, and the answer of this machine; Ray has another."""

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from flows.runners.device_worker import WorkerPool, names_of
from flows.runners.hardware import local_hardware
from flows.settings import RunSettings
from nst_core.hardware import PrecisionName

P = ParamSpec("P")
R = TypeVar("R")


class Worker(Protocol):
    """Does one batch at a time.

    Attributes:
        name: for people.
        device: what it says of itself to the engine, such as `cuda:1`.
        style: the style that it did last, and has warm.
    """

    name: str
    device: str
    style: str | None

    def run_watched(
        self,
        on_message: Callable[[Any], None],
        watch: Callable[[], None],
        function: Callable[Concatenate[Callable[[Any], None], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """See `flows.runners.device_worker.DeviceWorker.run_watched`."""


W = TypeVar("W", bound=Worker)


class Pool(Protocol[W]):
    """All workers of a run."""

    def take(self) -> W:
        """An idle worker, as soon as there is one; it is to be given back.

        Raises:
            PoolStopped: if the run is being interrupted.
        """

    def give_back(self, worker: W) -> None:
        """Let others have it; called by any thread."""

    def styles(self) -> list[str | None]:
        """What each worker did last, or is at."""

    def stop(self) -> None:
        """End all work at once; called by any thread."""


@dataclass(frozen=True)
class Means:
    """What a run is carried out with.

    Attributes:
        devices: one per worker, as the engine calls them.
        names: of the workers.
        threads: CPU threads of each worker; None leaves it to torch.
    """

    devices: tuple[str, ...]
    names: tuple[str, ...]
    precision: PrecisionName
    threads: int | None = None


class Runner(Protocol):
    """A place to do batches in."""

    means: Means

    def pool(self, batches: int) -> AbstractContextManager[Pool[Any]]:
        """Workers for so many batches."""

    def warn_of(self, addresses: Iterable[str]) -> None:
        """Say so where workers may not see files at these addresses."""


class LocalRunner:
    """One process per GPU of this machine, or several that share its CPU."""

    def __init__(self, settings: RunSettings) -> None:
        self.means = local_means(settings)

    def pool(self, batches: int) -> WorkerPool:  # noqa: ARG002  # a process is started when it is needed
        """See `Runner.pool`."""
        return WorkerPool(self.means.devices)

    def warn_of(self, addresses: Iterable[str]) -> None:
        """Nothing: what this machine does not see is a pair's failure."""


def local_means(settings: RunSettings) -> Means:
    """Every GPU of this machine once, or its CPU as often as the settings say.

    Raises:
        OptionsError: if the machine has no such device.
    """
    hardware = local_hardware()
    devices = hardware.devices(settings.device)
    devices = devices * settings.cpu_workers if devices == ("cpu",) else devices
    # Processes that share the cores; one alone leaves it to torch.
    shared = len(devices) > 1 and devices[0] == "cpu"
    threads = max(1, (os.cpu_count() or 1) // len(devices)) if shared else None
    return Means(devices, names_of(devices), hardware.precision(settings.precision, devices[0]), threads)
