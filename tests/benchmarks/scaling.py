"""Seconds per evaluation, achieved FLOP/s and peak memory over sizes and batches.

python -m tests.benchmarks.scaling --json tests/benchmarks/results/scaling.json
"""

import argparse
from collections.abc import Sequence

from nst_core.machine.runtime import prepare_process
from tests.benchmarks.cases import Cost, Plan, add_case_options, free_memory, grid, measure_case, why_not
from tests.benchmarks.matrix_product import matrix_product_rates
from tests.benchmarks.report import Report, add_json_option


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every case of the grid that fits into memory and time."""
    arguments = _arguments(argv)
    report = Report("scaling", arguments)
    prepare_process(arguments.device)
    rates = matrix_product_rates(arguments.device, arguments.matrix)
    report.content["matrix_product_flop_per_second"] = rates
    plan = Plan(arguments, arguments.evaluations, arguments.repeats, rates)
    known: list[Cost] = []
    for case in grid(arguments.sizes, arguments.batches):
        reason = why_not(case, known, free_memory(arguments.device), arguments.case_seconds)
        if reason is not None:
            report.add({"size_px": case.size_px, "batch": case.batch, "skipped": reason})
            continue
        row, cost = measure_case(case, plan, 3 * arguments.case_seconds)
        known += [cost] if cost else []
        report.add(row)
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--evaluations", type=int, default=18, help="per repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case-seconds", type=float, default=400.0, help="a case predicted to take longer is skipped")
    add_case_options(parser)
    add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
