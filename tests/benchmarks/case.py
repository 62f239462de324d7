"""Measures one size and batch in its own process, for its own peak memory; prints one line of JSON.

python -m tests.benchmarks.case --size 512 --batch 4 --evaluations 8
"""

import argparse
import json
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.footprint import base_bytes
from nst_core.machine.hardware import describe_device, peak_memory_bytes
from nst_core.machine.runtime import choose_precision, prepare_process
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.stylize import stylize
from tests.benchmarks.pictures import contents_of_size, style_of_size
from tests.benchmarks.scoring import options_of, parse_options

WARM_UP_EVALUATIONS = 3

CONTEXT_BYTES = 1_000_000_000
"""What CUDA and its libraries take of a GPU beside torch's allocator, at most."""

LEAST_STEPS = 2
"""Fewest evaluations of the shorter run, including that of the content image."""


@dataclass(frozen=True)
class Run:
    """One call of `stylize`: its wall time, and the engine's own time and count of evaluations."""

    wall_seconds: float
    engine_seconds: float
    evaluations: int


def main() -> None:
    """Measure one case."""
    arguments = _arguments()
    prepare_process(arguments.device)
    _limit_memory(arguments)
    precision = choose_precision(arguments.precision, arguments.device)
    backbone = load_backbone(find_weights("vgg19", arguments.weights), arguments.device, precision)
    free = 0 if arguments.frugal else None
    if arguments.memory_gb is not None:
        free = int(arguments.memory_gb * 1e9) - base_bytes(backbone)
    options = options_of(
        {"size_px": max(16, arguments.size), "plateau_tolerance": 0.0, "levels": 1} | parse_options(arguments.option)
    )
    requests = _requests(arguments.size, arguments.batch, options.resolved(), backbone)
    before = _memory_now(arguments.device)
    began = time.perf_counter()
    _run(requests, min(WARM_UP_EVALUATIONS, arguments.evaluations), backbone, free)
    warm_up_seconds = time.perf_counter() - began
    # Targets and fp32 losses take the same time whatever the number of evaluations: the difference of two runs is free
    # of it.
    short = _run(requests, min(WARM_UP_EVALUATIONS, arguments.evaluations // 2), backbone, free)
    runs = [_run(requests, arguments.evaluations, backbone, free) for _ in range(arguments.repeats)]
    outcome = {
        "wall_seconds": [run.wall_seconds for run in runs],
        "seconds_per_evaluation": [
            (run.engine_seconds - short.engine_seconds) / (run.evaluations - short.evaluations) for run in runs
        ],
        "evaluations": runs[-1].evaluations,
        "warm_up_seconds": warm_up_seconds,
        "memory_before_bytes": before,
        "peak_memory_bytes": _peak_memory(arguments.device),
        "reserved_memory_bytes": peak_memory_bytes(arguments.device),
        "precision": precision,
        "device": describe_device(arguments.device),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(outcome))  # noqa: T201  # the script's output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights")
    parser.add_argument("--memory-gb", type=float, metavar="GB", help="plan with so much memory; a GPU gives no more")
    parser.add_argument("--frugal", action="store_true", help="the smallest memory plan, whatever is free")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    if arguments.evaluations < 2 * LEAST_STEPS:
        parser.error(f"--evaluations: expected {2 * LEAST_STEPS} or more, got {arguments.evaluations}")
    return arguments


def _requests(size_px: int, batch: int, options: StylizeOptions, backbone: Backbone) -> list[StylizeRequest]:
    style = prepare_style(backbone, style_of_size(size_px), options)
    return [StylizeRequest(content, style, options) for content in contents_of_size(size_px, batch)]


def _run(requests: list[StylizeRequest], evaluations: int, backbone: Backbone, free: int | None) -> Run:
    """Stylize from tensors on the host to tensors on the host, so that no work on a GPU is left running."""
    # The first evaluation, of the content image itself, is not a step.
    options = requests[0].options.model_copy(update={"steps": max(1, evaluations - 1)})
    batch = [StylizeRequest(request.content, request.style, options) for request in requests]
    began = time.perf_counter()
    results = stylize(batch, backbone, free=free)
    wall_seconds = time.perf_counter() - began
    failed = [result for result in results if not isinstance(result, StylizeResult)]
    if failed:
        raise failed[0]
    finished = [result for result in results if isinstance(result, StylizeResult)]
    return Run(wall_seconds, max(result.seconds for result in finished), max(result.evaluations for result in finished))


def _limit_memory(arguments: argparse.Namespace) -> None:
    """Make torch's allocator refuse more of a GPU than the arguments name, so that it is as if it had no more."""
    if arguments.memory_gb is not None and arguments.device.startswith("cuda"):
        whole = torch.cuda.get_device_properties(arguments.device).total_memory
        share = (arguments.memory_gb * 1e9 - CONTEXT_BYTES) / whole
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), arguments.device)


def _memory_now(device: str) -> int:
    """Bytes in use now: on a GPU those of torch, on a CPU those of the whole process."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_memory(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
