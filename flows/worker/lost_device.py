"""Detect that a GPU has become unusable to its process, after which only a new process can use the GPU again."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from flows.errors import DeviceLost
from nst_core.machine.faults import is_lost

logger = logging.getLogger(__name__)


@contextmanager
def detecting_device_loss(device: str, probe: Callable[[], object] | None = None) -> Iterator[None]:
    """Replace an error of the `with` block by DeviceLost where the device is unusable since; let other errors pass.

    Unreplaced, it would look like a failure of this pair, and then of every further pair.

    Args:
        device: the device, as torch names it.
        probe: waits for the device and raises a RuntimeError where that fails; None synchronizes with a GPU.

    Raises:
        DeviceLost: if the block failed and the device is unusable.
    """
    probe = probe or (lambda: _synchronize(device))
    try:
        yield
    except Exception as error:
        if not is_lost(error, probe):
            raise
        reason = str(error).partition("\n")[0]
        lost = DeviceLost(f"{device} is of no use to its process any more: {reason}; nvidia-smi and dmesg say more")
        logger.error("%s", lost)  # noqa: TRY400  # logged here because no pair's record may ever contain it
        raise lost from error


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
