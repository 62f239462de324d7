"""The time of one evaluation by kind of operator, compared with the rate of a large matrix product.

python -m tests.benchmarks.evaluation --json tests/benchmarks/results/evaluation.json
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence

import torch

from nst_core.backbones.backbone import load_backbone
from nst_core.backbones.find import find_weights
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content
from nst_core.machine.runtime import choose_precision, prepare_process
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from tests.benchmarks.flops import flop_per_evaluation
from tests.benchmarks.matrix_product import matrix_product_rates
from tests.benchmarks.operators import ALL, OperatorTimes
from tests.benchmarks.pictures import contents_of_size, style_of_size
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.spread import spread


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one evaluation per size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--precision", default="auto")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    report = Report("evaluation", arguments)
    prepare_process("cpu")
    rates = matrix_product_rates("cpu")
    report.content["matrix_product_flop_per_second"] = rates
    precision = choose_precision(arguments.precision, "cpu")
    backbone = load_backbone(find_weights("vgg19"), "cpu", precision)
    options = StylizeOptions().resolved()
    for size in arguments.sizes:
        style = prepare_style(backbone, style_of_size(size), options)
        (content,) = contents_of_size(size, 1)
        loss = PerceptualLoss(backbone.fast, encode_content(backbone.exact, content, options), style.target, options)
        report.add(_measured(loss, content, size, arguments.repeats, rates[precision]) | {"precision": precision})
    report.finish()


def _measured(loss: PerceptualLoss, pastiche: torch.Tensor, size: int, repeats: int, yardstick: float) -> Row:
    for _ in range(3):
        loss.with_gradient(pastiche)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        loss.with_gradient(pastiche)
        seconds.append(time.perf_counter() - began)
    with OperatorTimes() as times:
        for _ in range(repeats):
            loss.with_gradient(pastiche)
    whole = sum(times.seconds.values())
    median = spread(seconds).median
    flop = flop_per_evaluation(size, size)
    return {
        "size_px": size,
        "seconds": dataclasses.asdict(spread(seconds)),
        "shares": {kind: times.seconds[kind] / whole for kind in ALL},
        "share_of_matrix_product": flop / median / yardstick,
        "share_of_matrix_product_in_convolutions": flop / (median * times.seconds["convolutions"] / whole) / yardstick,
        "flop_per_second": flop / median,
    }


if __name__ == "__main__":
    main()
