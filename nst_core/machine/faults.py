"""What errors of a device mean: too little memory, or a GPU that is of no use to this process any more."""

from collections.abc import Callable
from typing import TypeVar

import torch

from nst_core.errors import OutOfMemory

Result = TypeVar("Result")

OUT_OF_MEMORY = {
    "can't allocate memory": "torch's allocator on the CPU",
    "CUDA error: out of memory": "CUDA, for what torch's allocator does not hand out: a context, the code of a kernel",
    "CUDA driver error: out of memory": "the same, asked of the driver",
    "ALLOC_FAILED": "cuBLAS, cuFFT, cuSOLVER and cuDNN before 9, as CUBLAS_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED": "cuDNN from 9 on, as CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED": "cuBLAS, where there is no room for its handle",
}
"""Words of a RuntimeError that mean too little memory, and who says them; torch has a class for its GPU allocator's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is one of the many ways to run out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def within_memory(what: str, device: str, work: Callable[[], Result]) -> Result:
    """What some work returns; the many ways to run out of memory become `OutOfMemory`."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    # Outside of the except block: the caught exception holds the tensors of the failed call alive.
    first_line = reason.partition("\n")[0] or "out of memory"
    raise OutOfMemory(f"not enough memory on {device} for {what}: lower size_px ({first_line})")


def is_lost(error: BaseException, probe: Callable[[], object]) -> bool:
    """Whether the device that raised an error raises nothing else from now on, whatever this process asks of it.

    So it is on a GPU after an illegal access, a failed assertion of a kernel or an error of its memory. Which library
    was the first to notice, and in which words, does not tell: the device is asked.

    Args:
        error: that some work on the device raised.
        probe: waits for the device, and raises a RuntimeError where that fails.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    try:
        probe()
    except RuntimeError as found:
        return not is_out_of_memory(found)
    return False
