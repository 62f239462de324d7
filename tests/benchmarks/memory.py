"""Predicted and measured peak memory of one pair, as a whole and in tiles; each measurement in its own process.

python -m tests.benchmarks.memory --json tests/benchmarks/results/memory.json
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.footprint import MemoryPlan, base_bytes, predicted_bytes
from nst_core.machine.hardware import peak_memory_bytes
from nst_core.machine.memory import SHARE, plan_memory
from nst_core.machine.runtime import choose_precision, prepare_process
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.stylize import stylize
from tests.benchmarks.pictures import contents_of_size, style_of_size
from tests.benchmarks.processes import CommandFailed, run_timed
from tests.benchmarks.report import Report, Row, add_json_option


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every size as a whole and in tiles, or, with `--case`, make one of these measurements."""
    arguments = _arguments(argv)
    if arguments.case is not None:
        size_px, tile_px = arguments.case
        print(json.dumps(_measured(size_px, tile_px or None, arguments)))  # noqa: T201  # the script's output
        return
    report = Report("memory", arguments)
    for size_px in arguments.sizes:
        for tile_px in (0, *(one for one in arguments.tiles if one < size_px)):
            report.add(_in_a_process(size_px, tile_px, arguments))
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--tiles", type=int, nargs="+", default=[512, 1024], help="beside one piece")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", type=int, nargs=2, metavar=("SIZE", "TILE"), help="one measurement, in this process")
    add_json_option(parser)
    return parser.parse_args(argv)


def _in_a_process(size_px: int, tile_px: int, given: argparse.Namespace) -> Row:
    case = ("--case", str(size_px), str(tile_px), "--steps", str(given.steps))
    command = [sys.executable, "-m", "tests.benchmarks.memory", *case]
    try:
        finished = run_timed([*command, "--precision", given.precision, "--device", given.device])
    except CommandFailed as error:
        return {"size_px": size_px, "failed": str(error)}
    row: Row = json.loads(finished.stdout.strip().splitlines()[-1])
    return row


def _measured(size_px: int, tile_px: int | None, given: argparse.Namespace) -> Row:
    prepare_process(given.device)
    backbone = load_backbone(find_weights("vgg19"), given.device, choose_precision(given.precision, given.device))
    free = _free_for(size_px, tile_px, backbone)
    plan = plan_memory(size_px, size_px, 1, backbone, free)
    options = StylizeOptions(size_px=size_px, steps=given.steps, levels=1, plateau_tolerance=0.0).resolved()
    (content,) = contents_of_size(size_px, 1)
    request = StylizeRequest(content, prepare_style(backbone, style_of_size(size_px), options), options)
    seen: list[float] = []
    (result,) = stylize([request], backbone, lambda _step: seen.append(time.perf_counter()), free=free)
    assert isinstance(result, StylizeResult)
    measure(result.pastiche, request, backbone, result.content)
    return {
        "size_px": size_px,
        "precision": backbone.precision,
        "plan": _in_words(plan),
        "predicted_bytes": predicted_bytes(size_px, size_px, plan, backbone),
        "peak_memory_bytes": peak_memory_bytes(given.device),
        "seconds_per_evaluation": (seen[-1] - seen[0]) / (len(seen) - 1),
    }


def _free_for(size_px: int, tile_px: int | None, backbone: Backbone) -> int | None:
    """Free bytes with which tiles of this size are planned; without tiles None, which queries the device."""
    if tile_px is None:
        return None
    plan = MemoryPlan(1, recompute=False, history=5, tile_px=tile_px, keep_freed=False, half_history=True)
    return int(predicted_bytes(size_px, size_px, plan, backbone) / SHARE) - base_bytes(backbone) + 1


def _in_words(plan: MemoryPlan) -> str:
    history = f"{plan.history} pairs of history in {'bf16' if plan.half_history else 'fp32'}"
    where = "one piece" if plan.tile_px is None else f"tiles of {plan.tile_px} px"
    freed = ", freed memory kept" if plan.keep_freed else ""
    return f"{where}{', recomputing' if plan.recompute else ''}, {history}{freed}"


if __name__ == "__main__":
    main()
