"""Devices, precision and threads: what the hardware at hand can do."""

import ctypes
import platform
import resource
from typing import Literal

import torch

from nst_core.errors import OptionsError

PrecisionName = Literal["bf16", "fp32"]


def available_devices() -> tuple[str, ...]:
    """Every GPU as `cuda:0`, `cuda:1`, ...; `("cpu",)` where there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def choose_devices(wanted: str) -> tuple[str, ...]:
    """The devices that a wish means: `auto` is every GPU or else the CPU, `cuda` every GPU, `cuda:1` that one.

    Raises:
        OptionsError: if the machine has no such device.
    """
    available = available_devices()
    if wanted == "auto":
        return available
    if wanted == "cpu":
        return ("cpu",)
    gpus = tuple(device for device in available if device.startswith("cuda"))
    if wanted == "cuda" and gpus:
        return gpus
    if wanted in gpus:
        return (wanted,)
    raise OptionsError(f"no device {wanted!r} on this machine; it has {', '.join(('cpu', *gpus))}")


def choose_precision(wanted: str, device: str) -> PrecisionName:
    """`auto` is bf16 where the hardware multiplies it natively, else fp32.

    Raises:
        OptionsError: if the wish is none of auto, bf16, fp32.
    """
    if wanted == "bf16" or (wanted == "auto" and has_native_bf16(device)):
        return "bf16"
    if wanted in ("auto", "fp32"):
        return "fp32"
    raise OptionsError(f"no precision {wanted!r}; known: auto, bf16, fp32")


def has_native_bf16(device: str) -> bool:
    """Whether a device multiplies bf16 faster than fp32: AVX512-BF16, AMX, or a GPU from Ampere on.

    Emulated bf16, as on older x86, is slower than fp32 and no more exact, so it is never chosen by itself.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def describe_device(device: str) -> str:
    """The device with its model for the results table: `cpu` stays `cpu`, a GPU gains its name."""
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


def peak_memory_bytes(device: str) -> int:
    """The most memory that this process has had so far: torch's on a GPU, all of it on the CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def prepare_process(device: str, threads: int | None = None) -> None:
    """Set this process up for one device: its CPU threads once, and fp32 that means fp32 on a GPU.

    TF32 is left off: the fast path is bf16, and the fp32 path is the reference that the table's losses come from.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    _prepared.add(device)
    keep_freed_memory(keep=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True


# From <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


_MAPPINGS, _TRIM_THRESHOLD = 65_536, 131_072
"""glibc's own defaults."""

_prepared: set[str] = set()
"""Devices that this process was prepared for; a process that was not is left as it is."""


def keep_freed_memory(*, keep: bool) -> None:
    """Let the C library hand freed memory out again instead of giving it back to the system at once, or the reverse.

    Feature maps are freed and asked for again at every evaluation. By default glibc maps each anew, and the system
    clears every page of it: a fifth of the time of an evaluation at 512 px. But what is kept is in pieces, and the maps
    of a large picture fit into few of them: at 3000 px a quarter of the memory is then of no use. Other C libraries,
    and processes that `prepare_process` has not prepared, are left as they are.
    """
    if not _prepared or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0 if keep else _MAPPINGS)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1 if keep else _TRIM_THRESHOLD)
    if not keep:
        library.malloc_trim(0)
