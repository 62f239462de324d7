"""The compute devices of a machine, and the resolution of a requested device or precision. Needs torch only for a GPU.

`nst_core.machine.runtime.hardware_here` detects the hardware with torch.
"""

import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nst_core.errors import OptionsError

PrecisionName = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Hardware:
    """The devices of a machine.

    Attributes:
        gpus: the usable GPUs, `cuda:0`, `cuda:1`, ...
        with_bf16: the devices, possibly including the CPU, that multiply bf16 faster than fp32.
        left_out: for each GPU that torch sees but cannot use, a sentence that says why.
    """

    gpus: tuple[str, ...]
    with_bf16: frozenset[str]
    left_out: tuple[str, ...] = ()

    def devices(self, wanted: str) -> tuple[str, ...]:
        """Return the requested devices: `auto` is every GPU or else the CPU, `cuda` every GPU, `cuda:1` that one.

        Raises:
            OptionsError: if the machine has no such device.
        """
        if wanted == "auto":
            return self.gpus or ("cpu",)
        if wanted == "cpu":
            return ("cpu",)
        if wanted == "cuda" and self.gpus:
            return self.gpus
        if wanted in self.gpus:
            return (wanted,)
        existing = ", ".join(("cpu", *self.gpus))
        raise OptionsError("; ".join((f"no device {wanted!r} on this machine; it has {existing}", *self.left_out)))

    def precision(self, wanted: str, *devices: str) -> PrecisionName:
        """Return one precision for all devices: `auto` is bf16 if each of them multiplies it natively, else fp32.

        Raises:
            OptionsError: if `wanted` is none of auto, bf16, fp32, or is bf16 for a GPU that cannot multiply it.
        """
        if wanted not in ("auto", "bf16", "fp32"):
            raise OptionsError(f"no precision {wanted!r}; known: auto, bf16, fp32")
        without_bf16 = [device for device in devices if device not in self.with_bf16]
        gpus = [device for device in without_bf16 if device.startswith("cuda")]
        if wanted == "bf16" and gpus:  # a CPU without native bf16 emulates it, which is slower
            raise OptionsError(
                f"precision bf16: {', '.join(gpus)} cannot multiply bf16, as GPUs from Ampere on do: take auto or "
                "fp32, or other devices"
            )
        return "bf16" if wanted == "bf16" or (wanted == "auto" and not without_bf16) else "fp32"


GPU_FILES = ("dev/nvidiactl", "dev/nvidia0", "dev/nvgpu", "dev/kfd", "dev/dxg", "proc/driver/nvidia")
"""Files that GPU drivers create: those of NVIDIA, of AMD, and of Windows for its Linux subsystem."""

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""CPU flags in `/proc/cpuinfo` that mean fast bf16 multiplication."""


def hardware_without_torch(root: Path = Path("/")) -> Hardware | None:
    """Return the hardware if it can be determined without torch, which takes Linux on x86 without a GPU; else None.

    Args:
        root: the root of the file system.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or any((root / name).exists() for name in GPU_FILES):
        return None
    try:
        cpuinfo = (root / "proc/cpuinfo").read_text(errors="replace")  # virtual machines choose the model's name
    except OSError:
        return None
    flags = {flag for line in cpuinfo.splitlines() if line.startswith("flags") for flag in line.split()}
    return Hardware((), frozenset({"cpu"} if flags & BF16_FLAGS else ()))


def describe_device(device: str) -> str:
    """Return the device with its model for the results table: `cpu` stays `cpu`, a GPU is followed by its name."""
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


def peak_memory_bytes(device: str) -> int:
    """Return the peak memory of this process so far: torch's reserved memory on a GPU, all its memory on the CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
