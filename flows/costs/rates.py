"""How fast this machine is: seconds per unit of work, measured by its own runs and kept in the user's cache.

A rate is the speed of one worker while all workers are busy. Nothing in this module can fail a run: a cache that
cannot be read counts as empty, and one that cannot be written stays as it was.
"""

import json
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.environment import user_folder
from nst_core.machine.allowance import UNKNOWN_BYTES, usable_cpus
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.memory import available_bytes
from nst_core.options import StylizeOptions

Key = TypeVar("Key")
Number = TypeVar("Number")

FILE = "rates.json"

MOST_KEPT = 32
"""How many measurements of a kind are kept at most; the latest ones stay."""


@dataclass(frozen=True)
class Place:
    """A kind of device and its precision, in the form that `nst_core.machine.footprint` takes."""

    device: Literal["cpu", "cuda"]
    precision: PrecisionName

    @cached_property
    def free(self) -> int:
        """The bytes of memory to plan with.

        Only torch can tell a GPU's free memory, so a GPU is assumed to have enough.
        """
        return available_bytes("cpu") if self.device == "cpu" else UNKNOWN_BYTES


def settling(options: StylizeOptions) -> str:
    """Return a key of the options that decide after how many evaluations a pair stops by itself."""
    return f"{options.recipe} {options.quality} {options.plateau_tolerance:g} {options.plateau_window}"


class Measured(BaseModel):
    """The measurements that runs of one machine made on one kind of device.

    Attributes:
        device: the kind of device.
        precision: the precision of the optimisation.
        backbone: the name of the backbone.
        gpu: the GPU's model, or the models where a run used several; empty for the CPU, and in measurements of
            earlier versions, which did not store it.
        workers: how many workers ran at the same time, in the latest run.
        rates: by size class, a worker's seconds per unit of work, the latest last.
        settled: by the key that `settling` returns, the numbers of evaluations after which pairs stopped by themselves.
        beside: the seconds of each run that were not spent on pairs, but on its start, planning, tables and report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: Literal["cpu", "cuda"]
    precision: PrecisionName
    backbone: str
    gpu: str = ""
    workers: int
    rates: dict[int, tuple[float, ...]] = {}
    settled: dict[str, tuple[int, ...]] = {}
    beside: tuple[float, ...] = ()

    def taking_in(self, later: "Measured") -> "Measured":
        """Return these measurements merged with those of a later run.

        Rates measured with another number of workers are dropped, because the rate of a worker depends on how many run
        at once.
        """
        before = self if self.workers == later.workers else self.model_copy(update={"rates": {}})
        return later.model_copy(
            update={
                "rates": _joined(before.rates, later.rates),
                "settled": _joined(before.settled, later.settled),
                "beside": (*before.beside, *later.beside)[-MOST_KEPT:],
            }
        )


def _joined(
    earlier: dict[Key, tuple[Number, ...]], later: dict[Key, tuple[Number, ...]]
) -> dict[Key, tuple[Number, ...]]:
    return {key: (*earlier.get(key, ()), *later.get(key, ()))[-MOST_KEPT:] for key in {**earlier, **later}}


def size_class(width: int, height: int) -> int:
    """Return the class of sizes with about the same rate: the square root of the pixels, as a power of two.

    >>> size_class(256, 192), size_class(512, 512), size_class(8192, 6144)
    (256, 512, 8192)
    """
    return int(2 ** round(math.log2(math.sqrt(width * height))))


def measured_here() -> list[Measured]:
    """Return the measurements of this machine's runs, the latest last."""
    try:
        stored = json.loads(_path().read_text())[_machine()]
        return [Measured.model_validate(values) for values in stored]
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return []


def keep_measured(new: Measured) -> None:
    """Add the measurements of a run to the cache."""
    stored = measured_here()
    same_kind = [measured for measured in stored if _kind(measured) == _kind(new)]
    others = [measured for measured in stored if _kind(measured) != _kind(new)]
    merged = same_kind[-1].taking_in(new) if same_kind else new
    with suppress(OSError, ValueError):
        _write([measured.model_dump(mode="json") for measured in (*others, merged)])


def _kind(measured: Measured) -> tuple[str, str, str, str]:
    return measured.device, measured.gpu, measured.precision, measured.backbone


def _write(measurements: Iterable[dict[str, object]]) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        everything = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        everything = {}
    new = path.with_name(f"{FILE}.{os.getpid()}")
    new.write_text(json.dumps({**everything, _machine(): list(measurements)}, indent=1))
    new.replace(path)


def _path() -> Path:
    return user_folder("XDG_CACHE_HOME", ".cache") / FILE


def gpus_here(root: Path = Path("/")) -> tuple[str, ...]:
    """Return the model of each GPU of this machine; empty where NVIDIA's driver does not publish it.

    The driver publishes the models as files, so torch is not needed.

    Args:
        root: the root of the file system.
    """
    lines: list[str] = []
    for file in root.glob("proc/driver/nvidia/gpus/*/information"):
        with suppress(OSError):
            lines += file.read_text(errors="replace").splitlines()
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))


def _machine() -> str:
    """Return a key of this machine: its processor and how many CPUs may be used.

    A home directory may be shared by several machines, and a container may be limited to fewer CPUs.
    """
    model = "unknown processor"
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {usable_cpus()} CPUs"
