"""What `gpu` measures and in which order: first what matters most, so that a short budget costs the least."""

import argparse
import time

import torch

from nst_core.machine.runtime import prepare_process
from tests.benchmarks.cases import Case, Cost, Plan, free_memory, grid, measure_case, why_not
from tests.benchmarks.matrix_product import matrix_product_rates
from tests.benchmarks.report import Report, Row

Measured = list[tuple[Row, Cost]]


def measure_all(arguments: argparse.Namespace, deadline: float) -> None:
    """Batches at one size, the best of them for the full number of evaluations, sizes at batch 1."""
    report = Report("gpu", arguments)
    prepare_process(arguments.device)
    rates = matrix_product_rates(arguments.device, arguments.matrix)
    report.content["matrix_product_flop_per_second"] = rates
    if arguments.device.startswith("cuda"):
        torch.cuda.empty_cache()  # the children need the memory
    plan = Plan(arguments, arguments.grid_evaluations, arguments.repeats, rates)
    batches = _measure(grid([arguments.throughput_size], arguments.batches), "batches", plan, report, deadline)
    if batches:
        _throughput(batches, plan, report, deadline)
    sizes = [
        size for size in arguments.sizes if (size, 1) not in {(row["size_px"], row["batch"]) for row, _ in batches}
    ]
    _measure(grid(sizes, [1]), "sizes", plan, report, deadline)
    report.finish()


def _throughput(batches: Measured, plan: Plan, report: Report, deadline: float) -> None:
    """Pairs per second with the batch that had the fastest evaluations per pair."""
    best, cost = min(batches, key=lambda one: one[0]["seconds_per_evaluation"]["median"] / one[0]["batch"])
    case = Case(best["size_px"], best["batch"])
    evaluations, left = plan.arguments.evaluations, deadline - time.monotonic()
    each = best["seconds_per_evaluation"]["median"] * evaluations
    # The short run's whole process stands for start-up and compilation.
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


def _without_start(known: list[Cost]) -> list[Cost]:
    """Costs as they grow with the pixels: the start of a process, as long as the cheapest case at most, does not."""
    if not known:
        return []
    start = 0.9 * min(cost.seconds for cost in known)
    return [Cost(cost.case, cost.seconds - start, cost.before_bytes, cost.peak_bytes) for cost in known]
