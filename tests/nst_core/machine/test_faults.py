"""Errors of a device: which ones mean too little memory, and which ones that the device is lost to the process."""

import weakref

import pytest
import torch

from nst_core.errors import OutOfMemory
from nst_core.machine.faults import is_lost, is_out_of_memory, within_memory

ILLEGAL = "CUDA error: an illegal memory access was encountered\nSearch for `cudaErrorIllegalAddress' in ..."
NO_ROOM = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"


def raising(error: Exception | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError(NO_ROOM),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
    ids=str,
)
def test_all_messages_of_too_little_memory_are_recognised(error: Exception) -> None:
    """Each of these errors means too little memory, and none of them a lost device, even if the probe fails."""
    assert is_out_of_memory(error)
    assert not is_lost(error, lambda: raising(torch.AcceleratorError(ILLEGAL)))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(ILLEGAL),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("answer", "lost"),
    [(None, False), (torch.AcceleratorError(ILLEGAL), True), (torch.AcceleratorError(NO_ROOM), False)],
)
def test_a_device_is_lost_if_its_probe_fails(error: Exception, answer: Exception | None, lost: bool) -> None:
    """Whatever the error's message, the device is lost if the probe fails, unless the probe runs out of memory."""
    assert not is_out_of_memory(error)
    assert is_lost(error, lambda: raising(answer)) == lost


def test_an_error_of_another_type_does_not_probe_the_device() -> None:
    """For an error that is not a RuntimeError the device is not probed, and does not count as lost."""
    assert not is_lost(ValueError("CUDA error"), lambda: raising(AssertionError("the device was probed")))


def test_a_gpu_gets_its_memory_back_after_it_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a call on a GPU ran out of memory, torch's cache is emptied, once the failed call's tensors are freed.

    Otherwise what torch keeps is missing where CUDA itself allocates, and a smaller batch would fail in the same way.
    """
    tensors: list[weakref.ref[torch.Tensor]] = []
    left_when_emptied: list[list[torch.Tensor | None]] = []
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: left_when_emptied.append([one() for one in tensors]))

    def run_out() -> None:
        features = torch.ones(2)
        tensors.append(weakref.ref(features))
        raise torch.AcceleratorError(NO_ROOM)

    for device in ("cuda:1", "cpu"):
        with pytest.raises(OutOfMemory, match=f"not enough memory on {device}"):
            within_memory("a pair", device, run_out)

    assert left_when_emptied == [[None]]
