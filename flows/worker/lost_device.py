"""A GPU that raises errors alone from now on: only a new process has another way to it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from flows.errors import DeviceLost
from nst_core.machine.faults import is_lost

logger = logging.getLogger(__name__)


@contextmanager
def loss_noticed(device: str, probe: Callable[[], object] | None = None) -> Iterator[None]:
    """Tell an error of the block that has left the device of no use from all others, which pass.

    As it came it would be an error of every pair that is still to come.

    Args:
        device: as torch names it.
        probe: waits for the device, and raises a RuntimeError where that fails; None asks a GPU.

    Raises:
        DeviceLost: in place of such an error.
    """
    ask = probe or (lambda: _synchronize(device))
    try:
        yield
    except Exception as error:
        if not is_lost(error, ask):
            raise
        reason = str(error).partition("\n")[0]
        lost = DeviceLost(f"{device} is of no use to its process any more: {reason}; nvidia-smi and dmesg say more")
        logger.error("%s", lost)  # noqa: TRY400  # no pair may ever tell of it
        raise lost from error


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
