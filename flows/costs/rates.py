"""How fast this machine is: seconds per unit of work, as its own runs measured it, kept in the user's cache.

A rate is that of one worker while all of them are at work. Nothing here can fail a run: a cache that cannot be read
counts as empty, and one that cannot be written stays as it was.
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
"""Measurements of a kind; the latest are kept."""


@dataclass(frozen=True)
class Place:
    """Where work is done, as `nst_core.machine.footprint` asks for it."""

    device: Literal["cpu", "cuda"]
    precision: PrecisionName

    @cached_property
    def free(self) -> int:
        """Bytes to plan with; a GPU, which only torch could ask, is taken to have room for what is wanted of it."""
        return available_bytes("cpu") if self.device == "cpu" else UNKNOWN_BYTES


def settling(options: StylizeOptions) -> str:
    """What decides, beside the pair, after how many evaluations it ends by itself."""
    return f"{options.recipe} {options.quality} {options.plateau_tolerance:g} {options.plateau_window}"


class Measured(BaseModel):
    """What runs of one machine, on one kind of device, measured.

    Attributes:
        gpu: its model, or those of a run with several; empty for the CPU, and where an earlier version has not kept it.
        workers: at work at once, in the latest run.
        rates: by size class: seconds of a worker per unit of work, the latest last.
        settled: by what `settling` says: evaluations after which pairs ended by themselves.
        beside: seconds of a run beside its pairs: start, planning, tables, report.
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
        """With what a later run measured; what another number of workers measured is no rate of theirs."""
        before = self if self.workers == later.workers else self.model_copy(update={"rates": {}})
        return later.model_copy(
            update={
                "rates": _joined(before.rates, later.rates),
                "settled": _joined(before.settled, later.settled),
                "beside": (*before.beside, *later.beside)[-MOST_KEPT:],
            }
        )


def _joined(one: dict[Key, tuple[Number, ...]], other: dict[Key, tuple[Number, ...]]) -> dict[Key, tuple[Number, ...]]:
    return {key: (*one.get(key, ()), *other.get(key, ()))[-MOST_KEPT:] for key in {**one, **other}}


def size_class(width: int, height: int) -> int:
    """Sizes that have about the same rate, named by their pixels' root: 128, 256, 512, ...

    >>> size_class(256, 192), size_class(512, 512), size_class(8192, 6144)
    (256, 512, 8192)
    """
    return int(2 ** round(math.log2(math.sqrt(width * height))))


def measured_here() -> list[Measured]:
    """What this machine's runs measured, the latest last."""
    try:
        kept = json.loads(_path().read_text())[_machine()]
        return [Measured.model_validate(one) for one in kept]
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return []


def keep_measured(new: Measured) -> None:
    """Add what a run measured."""
    kept = measured_here()
    alike = [one for one in kept if _kind(one) == _kind(new)]
    others = [one for one in kept if _kind(one) != _kind(new)]
    known = alike[-1].taking_in(new) if alike else new
    with suppress(OSError, ValueError):
        _write([one.model_dump(mode="json") for one in (*others, known)])


def _kind(one: Measured) -> tuple[str, str, str, str]:
    return one.device, one.gpu, one.precision, one.backbone


def _write(kept: Iterable[dict[str, object]]) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        everything = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        everything = {}
    new = path.with_name(f"{FILE}.{os.getpid()}")
    new.write_text(json.dumps({**everything, _machine(): list(kept)}, indent=1))
    new.replace(path)


def _path() -> Path:
    return user_folder("XDG_CACHE_HOME", ".cache") / FILE


def gpus_here(root: Path = Path("/")) -> tuple[str, ...]:
    """The model of each GPU of this machine, as NVIDIA's driver tells without torch; none where it does not.

    Args:
        root: of the file system.
    """
    lines: list[str] = []
    for file in root.glob("proc/driver/nvidia/gpus/*/information"):
        with suppress(OSError):
            lines += file.read_text().splitlines()
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))


def _machine() -> str:
    """The processor and how many may be used: a home may be shared, and a container be given less."""
    model = "unknown processor"
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {usable_cpus()} CPUs"
