"""What a machine has to compute with, and what a wish for a device or precision comes to. Torch only to ask a GPU.

`nst_core.machine.runtime.hardware_here` finds out, which takes torch.
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
        gpus: `cuda:0`, `cuda:1`, ...
        with_bf16: the devices, the CPU among them, that multiply bf16 faster than fp32.
        left_out: GPUs that torch sees and cannot use, each in a sentence that says why.
    """

    gpus: tuple[str, ...]
    with_bf16: frozenset[str]
    left_out: tuple[str, ...] = ()

    def devices(self, wanted: str) -> tuple[str, ...]:
        """The devices that a wish means: `auto` is every GPU or else the CPU, `cuda` every GPU, `cuda:1` that one.

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
        there = ", ".join(("cpu", *self.gpus))
        raise OptionsError("; ".join((f"no device {wanted!r} on this machine; it has {there}", *self.left_out)))

    def precision(self, wanted: str, *devices: str) -> PrecisionName:
        """One for all devices of a run: `auto` is bf16 where each of them multiplies it natively, else fp32.

        Raises:
            OptionsError: if the wish is none of auto, bf16, fp32, or bf16 of a GPU that has none.
        """
        if wanted not in ("auto", "bf16", "fp32"):
            raise OptionsError(f"no precision {wanted!r}; known: auto, bf16, fp32")
        without = [device for device in devices if device not in self.with_bf16]
        gpus = [device for device in without if device.startswith("cuda")]
        if wanted == "bf16" and gpus:  # a CPU without is slower, and does it
            raise OptionsError(
                f"precision bf16: {', '.join(gpus)} cannot multiply bf16, as GPUs from Ampere on do: take auto or "
                "fp32, or other devices"
            )
        return "bf16" if wanted == "bf16" or (wanted == "auto" and not without) else "fp32"


GPU_FILES = ("dev/nvidiactl", "dev/nvidia0", "dev/nvgpu", "dev/kfd", "dev/dxg", "proc/driver/nvidia")
"""What the drivers of GPUs put there: NVIDIA's, AMD's, and those of Windows under Linux."""

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def hardware_without_torch(root: Path = Path("/")) -> Hardware | None:
    """What a machine has to compute with, where that can be told without torch: Linux on x86 without a GPU.

    Args:
        root: of the file system.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or any((root / name).exists() for name in GPU_FILES):
        return None
    try:
        described = (root / "proc/cpuinfo").read_text()
    except OSError:
        return None
    flags = {flag for line in described.splitlines() if line.startswith("flags") for flag in line.split()}
    return Hardware((), frozenset({"cpu"} if flags & BF16_FLAGS else ()))


def describe_device(device: str) -> str:
    """The device with its model for the results table: `cpu` stays `cpu`, a GPU gains its name."""
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


def peak_memory_bytes(device: str) -> int:
    """The most memory that this process has had so far: torch's on a GPU, all of it on the CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
