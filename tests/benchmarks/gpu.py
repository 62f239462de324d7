r"""The engine on a GPU: batches at one size, pairs per second, sizes, a worker with files, kernels, limited memory.

Needs no network access.

python -m tests.benchmarks.gpu --weights FILE --json gpu.json
python -m tests.benchmarks.gpu --device cpu --sizes 64 --throughput-size 64 --batches 1 2 --evaluations 4 \
    --grid-evaluations 4 --repeats 1 --pairs 2 --large-size 128 --matrix 512 --option steps=4   # a trial
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

NEEDED = ("torch", "numpy", "PIL", "pydantic")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure within a budget of seconds; cases that do not fit into it are reported as skipped."""
    arguments = _arguments(argv)
    _refuse_without(arguments.device)
    # Imported after the check, because the engine's imports would fail with a less clear message.
    from tests.benchmarks.gpu_plan import measure_all

    measure_all(arguments, time.monotonic() + arguments.budget_seconds)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--throughput-size", type=int, default=512, metavar="PX")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024, 2048], help="at batch 1")
    parser.add_argument("--evaluations", type=int, default=300, help="per pair, for pairs per second")
    parser.add_argument("--grid-evaluations", type=int, default=40, help="per repeat, everywhere else")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=500, help="of the worker's pipeline with files")
    parser.add_argument("--large-size", type=int, default=3000, metavar="PX", help="of the image in limited memory")
    parser.add_argument("--large-memory-gb", type=float, default=24.0, metavar="GB")
    parser.add_argument("--budget-seconds", type=float, default=540.0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of a pair")
    parser.add_argument("--matrix", type=int, metavar="N", help="side of the matrix product that is compared with")
    parser.add_argument("--json", type=_path, metavar="FILE", help="write the JSON here instead of to stdout")
    return parser.parse_args(argv)


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)


def _refuse_without(device: str) -> None:
    """Exit with a message where this machine cannot run the benchmark."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"gpu: the engine needs {', '.join(missing)}, which this Python lacks; install or carry them along")
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"gpu: torch {torch.__version__} sees no GPU here; --device cpu tries the script without one")


if __name__ == "__main__":
    main()
