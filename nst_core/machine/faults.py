"""Classification of device errors: too little memory, or a GPU that this process can no longer use."""

from collections.abc import Callable
from typing import TypeVar

import torch

from nst_core.errors import OutOfMemory

Result = TypeVar("Result")
"""The type of the result of some work."""

OUT_OF_MEMORY = {
    "can't allocate memory": "torch's allocator on the CPU",
    "CUDA error: out of memory": "CUDA, for what torch's allocator does not manage: a context, the code of a kernel",
    "CUDA driver error: out of memory": "the same, from the driver API",
    "ALLOC_FAILED": "cuBLAS, cuFFT, cuSOLVER and cuDNN before 9, as CUBLAS_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED": "cuDNN from 9 on, as CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "unable to find an engine": "cuDNN, when no algorithm of a convolution gets its workspace",
    "CUBLAS_STATUS_NOT_INITIALIZED": "cuBLAS, when there is no room for its handle",
}
"""Substrings of a RuntimeError's message that mean too little memory -> where they come from; torch has a class of its
own for its GPU allocator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is one of the many ways to run out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def within_memory(what: str, device: str, work: Callable[[], Result]) -> Result:
    """Run `work` and return its result; raise `OutOfMemory` for any of the many ways to run out of memory.

    A GPU then gets back all memory that torch's allocator keeps for reuse: it would be missing where memory is not
    managed by that allocator, as for a library's handle or a kernel's code, and a smaller batch would fail as well.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    # The rest is outside of the except block, because the caught exception keeps the failed call's tensors alive.
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    first_line = reason.partition("\n")[0] or "out of memory"
    raise OutOfMemory(f"not enough memory on {device} for {what}: lower size_px ({first_line})")


def is_lost(error: BaseException, probe: Callable[[], object]) -> bool:
    """Return whether the device that raised an error will fail every further call of this process.

    This happens on a GPU after an illegal memory access, a failed assertion in a kernel or a memory hardware error.
    Neither the library that noticed it first nor its message is a reliable sign, so the device itself is probed.

    Args:
        error: the error that some work on the device raised.
        probe: a function that synchronises with the device and raises a RuntimeError if that fails.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    try:
        probe()
    except RuntimeError as probe_error:
        return not is_out_of_memory(probe_error)
    return False
