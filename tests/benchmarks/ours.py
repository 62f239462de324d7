"""This project's engine on one pair, as a new process, until the saved PNG reaches a target loss.

The engine stops at the loss of the image that it would save. As a check, the PNG is decoded again and measured in fp32;
if it misses the target, the pair is stylized again from the start with a lower threshold, and all of that time counts.

python -m tests.benchmarks.ours --content C.png --style S.png --target 1234.5 --output OUT.png
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.runtime import choose_devices, choose_precision, prepare_process
from nst_core.measure import measure
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.pixels import to_picture
from nst_core.stylize import stylize
from tests.benchmarks.pictures import read_tensor
from tests.benchmarks.scoring import Pair, options_of, parse_options, request_of

MARGIN = 0.0005
"""Relative distance of the first threshold below the target, and of each later one below that which would just do."""
ATTEMPTS = 5


@dataclass(frozen=True)
class Attempt:
    """One optimisation from the content image."""

    threshold: float
    saved_loss: float
    evaluations: int
    coarse_evaluations: int
    seconds: float
    stop_reason: str


def reach(request: StylizeRequest, target: float, output: Path, backbone: Backbone, batch: int = 1) -> list[Attempt]:
    """Make attempts until the saved loss meets the target, or until one ends for another reason than the threshold.

    `batch` stylizes, saves and measures the pair so many times at once, as a run does with as many different pairs.
    """
    attempts: list[Attempt] = []
    threshold = target * (1.0 - MARGIN)
    while len(attempts) < ATTEMPTS:
        attempts.append(_attempt(request, threshold, output, backbone, batch))
        last = attempts[-1]
        if last.saved_loss <= target or last.stop_reason != "threshold":
            break
        threshold *= target / last.saved_loss * (1.0 - MARGIN)
    return attempts


def _attempt(request: StylizeRequest, threshold: float, output: Path, backbone: Backbone, batch: int) -> Attempt:
    options = request.options.model_copy(update={"loss_threshold": threshold})
    saved_losses = []
    for result in stylize([StylizeRequest(request.content, request.style, options)] * batch, backbone):
        if not isinstance(result, StylizeResult):
            raise result
        to_picture(result.pastiche).save(output)
        saved_losses.append(measure(read_tensor(output), request, backbone, result.content).total)
        last = result
    return Attempt(
        threshold, max(saved_losses), last.evaluations, sum(last.coarse_evaluations), last.seconds, last.stop_reason
    )


def main() -> None:
    """Reach the target and print one line of JSON."""
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--target", type=float, required=True, help="the saved loss to reach")
    parser.add_argument("--recipe", default="neural-style")
    parser.add_argument("--max-steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="do the pair N times at once")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of a pair")
    arguments = parser.parse_args()

    device = choose_devices(arguments.device)[0]
    prepare_process(device)
    precision = choose_precision(arguments.precision, device)
    backbone = load_backbone(find_weights("vgg19", arguments.weights), device, precision)
    fixed = {"recipe": arguments.recipe, "optimizer": "lbfgs", "steps": arguments.max_steps, "plateau_tolerance": 0.0}
    options = options_of(fixed | parse_options(arguments.option))
    request = request_of(Pair(arguments.content, arguments.style), backbone, options)
    attempts = reach(request, arguments.target, arguments.output, backbone, arguments.batch)
    outcome = {
        "reached": attempts[-1].saved_loss <= arguments.target,
        "saved_loss": attempts[-1].saved_loss,
        "attempts": len(attempts),
        "evaluations": sum(one.evaluations for one in attempts),
        "coarse_evaluations": sum(one.coarse_evaluations for one in attempts),
        "engine_seconds": sum(one.seconds for one in attempts),
        "seconds_after_imports": time.perf_counter() - began,
        "stop_reason": attempts[-1].stop_reason,
        "thresholds": [one.threshold for one in attempts],
        "saved_losses": [one.saved_loss for one in attempts],
        "device": device,
        "precision": precision,
    }
    print(json.dumps(outcome))  # noqa: T201  # the script's output


if __name__ == "__main__":
    main()
