"""Cases of size and batch, each in a new process; a case that would not fit or take too long is reported as skipped."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.flops import flop_per_evaluation
from tests.benchmarks.processes import CommandFailed, run_timed
from tests.benchmarks.report import Row
from tests.benchmarks.spread import spread

MEMORY_SHARE = 0.9
"""A case is skipped if it is predicted to take more than this share of the free memory."""


@dataclass(frozen=True)
class Case:
    """A batch of pairs of one square size, on a device that may have only so many gigabytes."""

    size_px: int
    batch: int
    memory_gb: float | None = None

    @property
    def pixels(self) -> int:
        """The pixels of all pastiches together; time and memory are nearly proportional to them."""
        return self.size_px**2 * self.batch


@dataclass(frozen=True)
class Cost:
    """The cost of a case: the seconds of its process, its memory before the first evaluation, and its peak memory."""

    case: Case
    seconds: float
    before_bytes: int
    peak_bytes: int

    def scaled(self, case: Case) -> "Cost":
        """The predicted cost of another case: seconds, and memory beyond that at the start, grow with the pixels."""
        ratio = case.pixels / self.case.pixels
        grown = self.before_bytes + (self.peak_bytes - self.before_bytes) * ratio
        return Cost(case, self.seconds * ratio, self.before_bytes, round(grown))


@dataclass(frozen=True)
class Plan:
    """How cases are measured: the arguments of the child processes, and matrix-product rates for comparison."""

    arguments: argparse.Namespace
    evaluations: int
    repeats: int
    rates: Mapping[str, float]


def grid(sizes: Iterable[int], batches: Iterable[int]) -> list[Case]:
    """Every size with every batch, cheapest first, because the cheap cases predict the others."""
    return sorted(
        (Case(size, batch) for size in sizes for batch in batches), key=lambda case: (case.pixels, case.batch)
    )


def why_not(case: Case, known: list[Cost], free_bytes: int, limit_seconds: float) -> str | None:
    """Why a case is skipped, as predicted from the largest measured one; None if it is to be measured."""
    if not known:
        return None
    predicted = max(known, key=lambda cost: cost.case.pixels).scaled(case)
    if predicted.peak_bytes > MEMORY_SHARE * free_bytes:
        return f"predicted to take {predicted.peak_bytes / 2**30:.1f} GiB, {free_bytes / 2**30:.1f} GiB are free"
    if predicted.seconds > limit_seconds:
        return f"predicted to take {predicted.seconds:.0f} s, {limit_seconds:.0f} s are allowed"
    return None


def measure_case(case: Case, plan: Plan, limit_seconds: float) -> tuple[Row, Cost | None]:
    """Measure a case; return its row and its cost, or, if it failed, a row with the reason and None."""
    head: Row = {"size_px": case.size_px, "batch": case.batch}
    if case.memory_gb is not None:
        head["memory_gb"] = case.memory_gb
    try:
        finished = run_timed(_command(case, plan), limit=limit_seconds)
    except CommandFailed as error:
        return head | {"failed": str(error)}, None
    outcome = json.loads(finished.stdout.strip().splitlines()[-1])
    per_evaluation = spread(outcome["seconds_per_evaluation"])
    wall = spread(outcome["wall_seconds"])
    rate = flop_per_evaluation(case.size_px, case.size_px) * case.batch / per_evaluation.median
    yardstick = plan.rates.get(outcome["precision"])
    cost = Cost(case, finished.seconds, outcome["memory_before_bytes"], outcome["peak_memory_bytes"])
    row = head | {
        "precision": outcome["precision"],
        "threads": outcome["threads"],
        "evaluations": outcome["evaluations"],
        "seconds_per_evaluation": dataclasses.asdict(per_evaluation),
        "flop_per_second": rate,
        "share_of_matrix_product": rate / yardstick if yardstick else None,
        "stylize_seconds": dataclasses.asdict(wall),
        "pairs_per_second": case.batch / wall.median,
        "warm_up_seconds": outcome["warm_up_seconds"],
        "memory_before_bytes": cost.before_bytes,
        "peak_memory_bytes": cost.peak_bytes,
        "reserved_memory_bytes": outcome["reserved_memory_bytes"],
    }
    return row, cost


def free_memory(device: str) -> int:
    """Bytes of memory that are free for a new process."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def add_case_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are passed on to every child process."""
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of a pair")
    parser.add_argument("--matrix", type=int, metavar="N", help="side of the matrix product that is compared with")


def _command(case: Case, plan: Plan) -> list[str]:
    given = plan.arguments
    weights = ["--weights", given.weights] if given.weights else []
    options = [part for one in given.option for part in ("--option", one)]
    limit = [] if case.memory_gb is None else ["--memory-gb", str(case.memory_gb)]
    return [
        *(sys.executable, "-m", "tests.benchmarks.case", "--size", str(case.size_px), "--batch", str(case.batch)),
        *("--evaluations", str(plan.evaluations), "--repeats", str(plan.repeats)),
        *("--device", given.device, "--precision", given.precision, *weights, *options, *limit),
    ]
