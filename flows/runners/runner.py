"""The interface between a run and its backend: the devices (Means), and the pool of workers (Runner)."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flows import storage
from flows.runners.pool import Pool
from nst_core.machine.hardware import PrecisionName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """The devices and workers of a run.

    Attributes:
        devices: the device of each worker, as the engine names it.
        names: the name of each worker.
        precision: the precision of the computation.
        threads: the number of CPU threads per worker; None lets torch choose.
    """

    devices: tuple[str, ...]
    names: tuple[str, ...]
    precision: PrecisionName
    threads: int | None = None


@dataclass(frozen=True)
class Runner:
    """A backend that executes batches.

    Attributes:
        means: the devices and workers that it provides.
        pool: returns a pool of workers for this many batches; a context manager that ends them.
        machines: the number of machines that the workers may run on.
    """

    means: Means
    pool: Callable[[int], Pool]
    machines: int = 1

    def warn_of(self, addresses: Iterable[str]) -> None:
        """Log a warning if an address is local but there are several machines, each with a disk of its own."""
        local = next((address for address in addresses if storage.is_local(address)), None)
        if local is not None and self.machines > 1:
            logger.warning(
                "%s is a local path, and the Ray cluster has %d nodes: every node must have the same files there, as "
                "on a shared disk; otherwise use s3:// for images, weights and output",
                local,
                self.machines,
            )
