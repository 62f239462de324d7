"""What a machine has to compute with, and what a wish for a device or precision comes to. Torch only to ask a GPU.

`nst_core.runtime.hardware_here` finds out, which takes torch.
"""

import resource
from dataclasses import dataclass
from typing import Literal

from nst_core.errors import OptionsError

PrecisionName = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Hardware:
    """The devices of a machine.

    Attributes:
        gpus: `cuda:0`, `cuda:1`, ...
        with_bf16: the devices, the CPU among them, that multiply bf16 faster than fp32.
    """

    gpus: tuple[str, ...]
    with_bf16: frozenset[str]

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
        raise OptionsError(f"no device {wanted!r} on this machine; it has {', '.join(('cpu', *self.gpus))}")

    def precision(self, wanted: str, device: str) -> PrecisionName:
        """`auto` is bf16 where the hardware multiplies it natively, else fp32.

        Raises:
            OptionsError: if the wish is none of auto, bf16, fp32.
        """
        if wanted == "bf16" or (wanted == "auto" and device in self.with_bf16):
            return "bf16"
        if wanted in ("auto", "fp32"):
            return "fp32"
        raise OptionsError(f"no precision {wanted!r}; known: auto, bf16, fp32")


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
