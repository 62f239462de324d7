"""What a run needs of wherever its batches are done: what with, and the workers."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flows import storage
from flows.runners.pool import Pool
from nst_core.machine.hardware import PrecisionName

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Runner:
    """A place to do batches in.

    Attributes:
        pool: gives the workers for so many batches; to be left as a context, which ends them.
        machines: that they are spread over.
    """

    means: Means
    pool: Callable[[int], Pool]
    machines: int = 1

    def warn_of(self, addresses: Iterable[str]) -> None:
        """Say so where files are local and machines are several: each of them has a disk of its own."""
        local = next((address for address in addresses if not storage.is_s3(address)), None)
        if local is not None and self.machines > 1:
            logger.warning(
                "%s is a local path, and the Ray cluster has %d nodes: every node must have the same files there, as "
                "on a shared disk; otherwise use s3:// for pictures, weights and output",
                local,
                self.machines,
            )
