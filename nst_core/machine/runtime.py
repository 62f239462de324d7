"""Devices, precision and threads: what the hardware at hand can do."""

import ctypes
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nst_core.machine.allowance import usable_cpus
from nst_core.machine.footprint import LARGE_PIXELS, NOTHING, Computing, Extra, MemoryPlan
from nst_core.machine.hardware import Hardware, PrecisionName, describe_device
from nst_core.machine.memory import plan_memory


def hardware_here() -> Hardware:
    """What this machine has, as torch sees it."""
    gpus, left_out = _gpus()
    return Hardware(gpus, frozenset(device for device in ("cpu", *gpus) if has_native_bf16(device)), left_out)


def choose_devices(wanted: str) -> tuple[str, ...]:
    """See `Hardware.devices`, of this machine."""
    gpus, left_out = _gpus()
    return Hardware(gpus, frozenset(), left_out).devices(wanted)


def choose_precision(wanted: str, device: str) -> PrecisionName:
    """See `Hardware.precision`, of this machine."""
    with_bf16 = frozenset({device} if has_native_bf16(device) else ())
    return Hardware((), with_bf16).precision(wanted, device)


def _gpus() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that can be used, and of every other one a sentence that says why not."""
    there = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    left_out = {device: reason for device in there if (reason := _why_too_old(device))}
    return tuple(device for device in there if device not in left_out), tuple(left_out.values())


def _why_too_old(device: str) -> str:
    """Nothing, where the installed torch has code for a GPU or a newer one may come to run it."""
    named = (re.fullmatch(r"(?:sm|compute)_(\d+)(\d)[a-z]?", arch) for arch in torch.cuda.get_arch_list())
    built_for = [(int(found[1]), int(found[2])) for found in named if found]  # none of AMD's
    if not built_for or (capability := torch.cuda.get_device_capability(device)) >= min(built_for):
        return ""
    found, oldest = (".".join(map(str, version)) for version in (capability, min(built_for)))
    return (
        f"{describe_device(device)} is left out: its compute capability {found} is older than {oldest}, the oldest "
        f"that torch {torch.__version__} is built for; an older torch may do"
    )


def has_native_bf16(device: str) -> bool:
    """Whether a device multiplies bf16 faster than fp32: AVX512-BF16, AMX, or a GPU from Ampere on.

    Emulated bf16, as on older x86, is slower than fp32 and no more exact, so it is never chosen by itself.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def prepare_process(device: str, threads: int | None = None) -> None:
    """Set this process up for one device: its CPU threads once, and fp32 that means fp32 on a GPU.

    Threads are as many as torch would take, or `threads`, and never more than CPUs may be used.

    TF32 is left off: the fast path is bf16, and the fp32 path is the reference that the table's losses come from.
    """
    torch.set_num_threads(min(threads or torch.get_num_threads(), usable_cpus()))
    _prepared.add(device)
    keep_freed_memory(keep=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.startswith("cuda"):
        torch.cuda.set_device(device)


_shapes: set[tuple[int, ...]] = set()
"""Of the batches that this process has begun to optimise."""


def seen_before(shape: tuple[int, ...]) -> bool:
    """Whether a batch of a shape, (N, 3, H, W), was begun before in this process."""
    came_before = shape in _shapes
    _shapes.add(shape)
    return came_before


@contextmanager
def cudnn_autotuned(*, wanted: bool) -> Iterator[None]:
    """Whether cuDNN tries its algorithms for each convolution of a new shape, up to ten, and remembers the fastest.

    That takes up to ten passes: much for targets and measured losses, which use a shape once or twice, and a tenth of
    an optimisation, which uses it some hundred times. Contents of many sizes make shapes that never come back, so it
    is for those that do; cuDNN's own choice, by heuristics, is good enough for the others.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def make_room(
    width: int, height: int, pairs: int, backbone: Computing, free: int | None = None, extra: Extra = NOTHING
) -> MemoryPlan:
    """The memory plan of a batch, see `nst_core.machine.memory.plan_memory`, and the process set up for it."""
    if width * height * pairs >= LARGE_PIXELS:
        keep_freed_memory(keep=False)  # what was left behind by what came before would count as taken
    plan = plan_memory(width, height, pairs, backbone, free, extra)
    keep_freed_memory(keep=plan.keep_freed)
    return plan


# From <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_MAPPINGS, _TRIM_THRESHOLD = 65_536, 131_072
"""glibc's own defaults."""

_prepared: set[str] = set()
"""Devices that this process was prepared for; a process that was not is left as it is."""


def keep_freed_memory(*, keep: bool) -> None:
    """Let the C library hand freed memory out again instead of giving it back to the system at once, or the reverse.

    Feature maps are freed and asked for again at every evaluation. By default glibc maps each anew, and the system
    clears every page of it: a fifth of the time of an evaluation at 512 px, half of it at four times as many pixels.
    But what is kept is fragmented, and the maps of a large picture fit into few of the fragments, so that
    `nst_core.machine.memory` plans which it is to be.
    """
    library = _glibc()
    if library is None:
        return
    library.mallopt(_M_MMAP_MAX, 0 if keep else _MAPPINGS)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1 if keep else _TRIM_THRESHOLD)
    if not keep:
        library.malloc_trim(0)


def give_freed_back(pixels: int) -> None:
    """Give the system what a large picture's last step left behind: the next one's maps are of other sizes.

    Between optimising and measuring one of 2048 x 2048 px, say, three gigabytes would be of no use to either.
    """
    library = _glibc()
    if pixels >= LARGE_PIXELS and library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library whose allocator is set; other ones, and those of processes not prepared here, are left alone."""
    return ctypes.CDLL(None) if _prepared and platform.libc_ver()[0] == "glibc" else None
