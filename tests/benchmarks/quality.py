"""How the loss falls with the evaluations, over the spread of pairs; the settings of `--quality` were chosen by it.

python -m tests.benchmarks.quality --json tests/benchmarks/results/quality.json
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.runtime import choose_devices, choose_precision, prepare_process
from nst_core.optimize import StepReport
from nst_core.scene.pixels import to_picture
from nst_core.stylize import stylize
from tests.benchmarks.pairs import PAIRS, SpreadPair, save_pair
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.scoring import options_of, parse_options, request_of

MARKS = (10, 20, 30, 40, 60, 80, 120, 160, 200, 240, 320, 400)
"""Evaluations at full size after which the best loss so far is recorded."""


def main(argv: Sequence[str] | None = None) -> None:
    """Optimise every pair for the requested number of evaluations, and record the loss at each mark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=240)
    parser.add_argument("--pairs", type=int, nargs="+", default=range(len(PAIRS)), help="their places in the spread")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=Path, help="a folder for what each pair looks like at each mark")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of a pair")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    device = choose_devices(arguments.device)[0]
    prepare_process(device)
    backbone = load_backbone(find_weights("vgg19"), device, choose_precision("auto", device))
    report = Report("quality", arguments)
    with tempfile.TemporaryDirectory() as folder:
        for place in arguments.pairs:
            report.add(_fall(PAIRS[place], Path(folder), backbone, arguments))
    report.finish()


def _fall(pair: SpreadPair, folder: Path, backbone: Backbone, arguments: argparse.Namespace) -> Row:
    fixed = {"size_px": arguments.size, "steps": arguments.evaluations, "plateau_tolerance": 0.0}
    request = request_of(
        save_pair(pair, arguments.size, folder), backbone, options_of(fixed | parse_options(arguments.option))
    )
    losses: dict[int, float] = {}
    seconds: dict[int, float] = {}
    best = float("inf")

    def on_step(step: StepReport) -> None:
        nonlocal best
        if step.level > 0:
            return
        best = min(best, step.losses.total)
        if step.evaluation in MARKS:
            losses[step.evaluation], seconds[step.evaluation] = best, step.seconds
            if arguments.pictures is not None:
                name = f"{pair.content}--{pair.style}-{arguments.size}-{step.evaluation}.png"
                to_picture(step.look()).save(arguments.pictures / name)

    stylize([request], backbone, on_step)
    return {"pair": pair.name, "size_px": arguments.size, "losses": losses, "seconds": seconds}


if __name__ == "__main__":
    main()
