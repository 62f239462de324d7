"""What `gpu` measures, the most important first, so that a short budget leaves out the least important."""

import argparse
import json
import sys
import time

import torch

from nst_core.machine.runtime import prepare_process
from tests.benchmarks.cases import Case, Cost, Plan, free_memory, grid, measure_case, why_not
from tests.benchmarks.matrix_product import matrix_product_rates
from tests.benchmarks.processes import CommandFailed, run_timed
from tests.benchmarks.report import Report, Row

Measured = list[tuple[Row, Cost]]


def measure_all(arguments: argparse.Namespace, deadline: float) -> None:
    """Measure batches at one size, the best batch with the full number of evaluations, sizes at batch 1, and the rest.

    The rest is a worker's pipeline with files, the kernels of a step, and a large image within limited memory.
    """
    report = Report("gpu", arguments)
    prepare_process(arguments.device)
    rates = matrix_product_rates(arguments.device, arguments.matrix)
    report.content["matrix_product_flop_per_second"] = rates
    if arguments.device.startswith("cuda"):
        torch.cuda.empty_cache()  # the child processes need the memory
    plan = Plan(arguments, arguments.grid_evaluations, arguments.repeats, rates)
    batches = _measure(grid([arguments.throughput_size], arguments.batches), "batches", plan, report, deadline)
    if batches:
        _throughput(batches, plan, report, deadline)
    sizes = [
        size for size in arguments.sizes if (size, 1) not in {(row["size_px"], row["batch"]) for row, _ in batches}
    ]
    _measure(grid(sizes, [1]), "sizes", plan, report, deadline)
    _run_script("files_to_files", ("--pairs", str(arguments.pairs)), arguments.throughput_size, plan, report, deadline)
    for size in dict.fromkeys((min(arguments.sizes, key=lambda px: abs(px - 256)), arguments.throughput_size)):
        _run_script("kernels", (), size, plan, report, deadline)
    large = Case(arguments.large_size, 1, arguments.large_memory_gb)
    _measure([large], "limited memory", Plan(arguments, 8, 1, rates), report, deadline)
    report.finish()


def _throughput(batches: Measured, plan: Plan, report: Report, deadline: float) -> None:
    """Measure pairs per second with the batch that had the fastest evaluations per pair."""
    best, cost = min(batches, key=lambda one: one[0]["seconds_per_evaluation"]["median"] / one[0]["batch"])
    case = Case(best["size_px"], best["batch"])
    evaluations, left = plan.arguments.evaluations, deadline - time.monotonic()
    each = best["seconds_per_evaluation"]["median"] * evaluations
    # The time of the short run's whole process is the estimate for start-up and compilation.
    repeats = min(plan.repeats, int((left - cost.seconds) / each))
    head: Row = {"part": "throughput"}
    if repeats < 1:
        reason = f"one repeat takes {each:.0f} s, {left:.0f} s are left"
        report.add(head | {"size_px": case.size_px, "batch": case.batch, "skipped": reason})
        return
    row, _ = measure_case(case, Plan(plan.arguments, evaluations, repeats, plan.rates), left)
    report.add(head | row)


def _measure(cases: list[Case], part: str, plan: Plan, report: Report, deadline: float) -> Measured:
    measured: Measured = []
    for case in cases:
        left = deadline - time.monotonic()
        known = [cost for _, cost in measured]
        reason = why_not(case, _without_start(known), free_memory(plan.arguments.device), left)
        if left <= 0.0:
            reason = "the budget of seconds is used up"
        if reason is not None:
            report.add({"part": part, "size_px": case.size_px, "batch": case.batch, "skipped": reason})
            continue
        row, cost = measure_case(case, plan, left)
        report.add({"part": part} | row)
        measured += [(row, cost)] if cost else []
    return measured


def _run_script(name: str, more: tuple[str, ...], size: int, plan: Plan, report: Report, deadline: float) -> None:
    """Add the row that another script of this folder prints; `Plan.arguments` are its device, precision and weights."""
    given, head = plan.arguments, {"part": name, "size_px": size}
    weights = ("--weights", given.weights) if given.weights else ()
    command = [
        *(sys.executable, "-m", f"tests.benchmarks.{name}", "--size", str(size), *more),
        *("--device", given.device, "--precision", given.precision, *weights),
        *(part for one in given.option for part in ("--option", one)),
    ]
    try:
        printed = run_timed(command, limit=max(1.0, deadline - time.monotonic())).stdout
    except CommandFailed as error:
        report.add(head | {"failed": str(error)})
    else:
        report.add(head | json.loads(printed.strip().splitlines()[-1]))


def _without_start(known: list[Cost]) -> list[Cost]:
    """Costs without the start of a process, which does not grow with the pixels: 0.9 of the cheapest case."""
    if not known:
        return []
    start = 0.9 * min(cost.seconds for cost in known)
    return [Cost(cost.case, cost.seconds - start, cost.before_bytes, cost.peak_bytes) for cost in known]
