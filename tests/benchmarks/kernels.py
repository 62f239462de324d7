"""The kernels of one optimizer step, evaluation included: how many there are, and which take the device's time.

On a GPU the host starts every kernel in a few microseconds, which limits small images; large ones are limited by what
the kernels take. On a CPU torch's operators are counted instead, as a trial of the script. Prints one line of JSON.

python -m tests.benchmarks.kernels --device cuda:0 --size 256 --batch 1
"""

import argparse
import json
from collections import Counter

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from nst_core.backbones.backbone import load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.runtime import choose_precision, prepare_process
from nst_core.optimize import OnStep, StepReport
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from nst_core.stylize import stylize
from tests.benchmarks.pictures import contents_of_size, style_of_size
from tests.benchmarks.scoring import options_of, parse_options

FIRST, STEPS = 25, 10
"""The evaluation after which steps are counted, when L-BFGS's history is full and all libraries are loaded, and their
number."""

SHOWN = 15
"""How many kernels are listed."""


def main() -> None:
    """Profile a few steps of one batch."""
    arguments = _arguments()
    device = arguments.device
    prepare_process(device)
    precision = choose_precision(arguments.precision, device)
    backbone = load_backbone(find_weights("vgg19", arguments.weights), device, precision)
    fixed = {"size_px": max(16, arguments.size), "plateau_tolerance": 0.0, "levels": 1, "steps": FIRST + STEPS}
    options = options_of(parse_options(arguments.option) | fixed).resolved()
    style = prepare_style(backbone, style_of_size(arguments.size), options)
    requests = [StylizeRequest(one, style, options) for one in contents_of_size(arguments.size, arguments.batch)]
    on_gpu = device.startswith("cuda")
    profiler = profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU])
    stylize(requests, backbone, _between(profiler, arguments.batch))
    print(json.dumps(_summary(profiler, on_gpu=on_gpu) | {"precision": precision}))  # noqa: T201  # the script's output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def _between(profiler: profile, batch: int) -> OnStep:
    """Return a callback that profiles from the end of evaluation `FIRST` to the end of evaluation `FIRST + STEPS`."""

    def on_step(step: StepReport) -> None:
        if step.pair == batch - 1 and step.evaluation == FIRST:
            profiler.start()
        if step.pair == batch - 1 and step.evaluation == FIRST + STEPS:
            profiler.stop()

    return on_step


def _summary(profiler: profile, *, on_gpu: bool) -> dict[str, object]:
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    number, milliseconds = Counter[str](), Counter[str]()
    for event in profiler.events() or ():
        if event.device_type == kind and not event.name.startswith("Profiler"):
            took = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
            number[event.name] += 1
            milliseconds[event.name] += took / 1000.0
    return {
        "torch": torch.__version__,
        "kernels_per_step": sum(number.values()) / STEPS,
        "device_ms_per_step": sum(milliseconds.values()) / STEPS,
        "slowest": [
            {"kernel": name[:100], "per_step": number[name] / STEPS, "ms_per_step": took / STEPS}
            for name, took in milliseconds.most_common(SHOWN)
        ],
    }


if __name__ == "__main__":
    main()
