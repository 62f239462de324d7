"""A GPU that raises errors alone from now on: only a new process has another way to it, so a worker's own one ends."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from flows import interpreter
from flows.errors import EXIT_OF_LOST_DEVICE, DeviceUnusable
from nst_core.machine.faults import is_lost

logger = logging.getLogger(__name__)


@contextmanager
def ending_with(
    device: str,
    probe: Callable[[], object] | None = None,
    end: Callable[[int], object] = interpreter.end_worker,
) -> Iterator[None]:
    """End a worker's process at once if an error of the block has left the device of no use; other errors pass.

    As an error it would be one of every pair that is still to come. Whoever started the process has another one do
    again what has no outcome yet. A process of somebody else's goes on, and its run ends.

    Args:
        device: as torch names it.
        probe: waits for the device, and raises a RuntimeError where that fails; None asks a GPU.
        end: ends the process.

    Raises:
        DeviceUnusable: where this process is no worker's own.
    """
    ask = probe or (lambda: _synchronize(device))
    try:
        yield
    except Exception as error:
        if not is_lost(error, ask):
            raise
        reason = str(error).partition("\n")[0]
        if interpreter.is_a_worker():
            logger.error("%s is of no use to this process any more, which ends: %s", device, reason)  # noqa: TRY400
            end(EXIT_OF_LOST_DEVICE)
        raise DeviceUnusable(f"{device} is of no use to this process any more: {reason}. Start another one") from error


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
