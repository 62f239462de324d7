"""Hardware detection with torch, and the per-process setup of threads, devices and the memory allocator."""

import ctypes
import platform
import re

import torch

from nst_core.machine.allowance import usable_cpus
from nst_core.machine.footprint import LARGE_PIXELS, NOTHING, DeviceAndPrecision, Extra, MemoryPlan
from nst_core.machine.hardware import Hardware, PrecisionName, describe_device
from nst_core.machine.memory import plan_memory


def hardware_here() -> Hardware:
    """Return the hardware of this machine as torch sees it."""
    gpus, left_out = _gpus()
    return Hardware(gpus, frozenset(device for device in ("cpu", *gpus) if has_native_bf16(device)), left_out)


def choose_devices(wanted: str) -> tuple[str, ...]:
    """Return the requested devices of this machine; see `Hardware.devices`."""
    gpus, left_out = _gpus()
    return Hardware(gpus, frozenset(), left_out).devices(wanted)


def choose_precision(wanted: str, device: str) -> PrecisionName:
    """Return the requested precision for a device of this machine; see `Hardware.precision`."""
    with_bf16 = frozenset({device} if has_native_bf16(device) else ())
    return Hardware((), with_bf16).precision(wanted, device)


def _gpus() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the usable GPUs, and for each other GPU a sentence that says why it is left out."""
    if torch.cuda.device_count() == 0:
        return (), ()
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        # The count above comes from the driver's management library, which does not notice that CUDA cannot start.
        first_line = str(error).partition("\n")[0]
        return (), (f"the GPUs are left out: CUDA cannot be started ({first_line})",)
    visible = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    left_out = {device: reason for device in visible if (reason := _why_unusable(device))}
    return tuple(device for device in visible if device not in left_out), tuple(left_out.values())


def _why_unusable(device: str) -> str:
    """Return why the installed torch cannot use a GPU, or an empty string if it has code for it or for an older one."""
    try:
        capability = torch.cuda.get_device_capability(device)
    except (RuntimeError, AssertionError) as error:
        # As for all slices of a GPU (MIG) but the first: CUDA gives a process one of those that the driver counts.
        return f"{device} is left out: CUDA does not give it to this process ({str(error).partition(chr(10))[0]})"
    matches = (re.fullmatch(r"(?:sm|compute)_(\d+)(\d)[a-z]?", arch) for arch in torch.cuda.get_arch_list())
    built_for = [(int(match[1]), int(match[2])) for match in matches if match]  # AMD's names do not match
    if not built_for or capability >= min(built_for):
        return ""
    found, oldest = (".".join(map(str, version)) for version in (capability, min(built_for)))
    return (
        f"{describe_device(device)} is left out: its compute capability {found} is older than {oldest}, the oldest "
        f"that torch {torch.__version__} is built for; an older torch may do"
    )


def has_native_bf16(device: str) -> bool:
    """Return whether a device multiplies bf16 faster than fp32: AVX512-BF16, AMX, or a GPU from Ampere on.

    Emulated bf16, as on older x86, is slower than fp32 and no more exact, so it is never chosen automatically.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    # Private functions of torch, which a release may drop: fp32 is then chosen.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


def prepare_process(device: str, threads: int | None = None) -> None:
    """Set this process up for one device: its CPU threads, its allocator, and true fp32 on a GPU.

    The number of threads is `threads`, or torch's default, but never more than the CPUs that this process may use.

    TF32 is left off: the fast path is bf16, and the fp32 path is the reference for the losses of the results table.
    """
    torch.set_num_threads(min(threads or torch.get_num_threads(), usable_cpus()))
    _prepared.add(device)
    keep_freed_memory(keep=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.startswith("cuda"):
        torch.cuda.set_device(device)


def make_room(
    width: int, height: int, pairs: int, backbone: DeviceAndPrecision, free: int | None = None, extra: Extra = NOTHING
) -> MemoryPlan:
    """Choose the memory plan of a batch with `nst_core.machine.memory.plan_memory`, and set the allocator up for it."""
    if width * height * pairs >= LARGE_PIXELS:
        keep_freed_memory(keep=False)  # memory kept from earlier work would count as taken
    plan = plan_memory(width, height, pairs, backbone, free, extra)
    keep_freed_memory(keep=plan.keep_freed)
    return plan


# Parameters of mallopt, from <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_MAPPINGS = 65_536
"""glibc's default for `M_MMAP_MAX`, a number of mappings."""
_TRIM_THRESHOLD = 131_072
"""glibc's default for `M_TRIM_THRESHOLD`, in bytes."""

_prepared: set[str] = set()
"""Devices that `prepare_process` was called for; the allocator of a process without any is left as it is."""


def keep_freed_memory(*, keep: bool) -> None:
    """Make the C library keep freed memory for reuse, or return it to the system at once.

    Feature maps are freed and allocated again at every evaluation. By default glibc maps each again, and the kernel
    clears every page of it: a fifth of the time of an evaluation at 512 px, half of it at four times as many pixels.
    But kept memory is fragmented, and few fragments are large enough for the maps of a large image, so
    `nst_core.machine.memory` decides which of the two a batch uses.
    """
    library = _glibc()
    if library is None:
        return
    library.mallopt(_M_MMAP_MAX, 0 if keep else _MAPPINGS)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1 if keep else _TRIM_THRESHOLD)
    if not keep:
        library.malloc_trim(0)


def give_freed_back(pixels: int) -> None:
    """Return memory that a large image's last step freed to the system, because the next step's maps have other sizes.

    At 2048 x 2048 px, for example, it is three gigabytes between optimising and measuring that neither of them could
    reuse.
    """
    library = _glibc()
    if pixels >= LARGE_PIXELS and library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library to configure, or None if it is not glibc or this process was not prepared here."""
    return ctypes.CDLL(None) if _prepared and platform.libc_ver()[0] == "glibc" else None
