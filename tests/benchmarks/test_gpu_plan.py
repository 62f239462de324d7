"""gpu_plan: every part of the benchmark of a GPU gets its row and its place in the table, whatever else fails."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks import gpu, gpu_plan
from tests.benchmarks.cases import Case, Cost, Plan
from tests.benchmarks.processes import CommandFailed, Finished
from tests.benchmarks.report import Row
from tests.benchmarks.tables import _kernels, table

PIPELINE = {"pairs": 3, "pairs_per_second": 11.5, "evaluations": 120.0, "busy_share": 0.93}
KERNELS = {
    "kernels_per_step": 480.0,
    "device_ms_per_step": 1.25,
    "slowest": [{"kernel": "gemm<a|b>", "per_step": 26.0, "ms_per_step": 0.5}],
}


def measured(case: Case, plan: Plan, _limit_seconds: float) -> tuple[Row, Cost]:
    """Make up the row of a case, whose batches are the faster the larger they are."""
    seconds = {"median": 0.1, "min": 0.1, "max": 0.1, "values": (0.1,)}
    row: Row = {
        "size_px": case.size_px,
        "batch": case.batch,
        "precision": "bf16",
        "evaluations": plan.evaluations,
        "seconds_per_evaluation": seconds,
        "flop_per_second": 1e12,
        "share_of_matrix_product": 0.5,
        "stylize_seconds": seconds,
        "pairs_per_second": 4.0,
        "peak_memory_bytes": 1 << 30,
    }
    limit = {} if case.memory_gb is None else {"memory_gb": case.memory_gb}
    return row | limit, Cost(case, 1.0, 0, 1)


def printed(command: Sequence[str], *, limit: float) -> Finished:
    """Make up the output of a script; the one for kernels fails at 128 px."""
    assert limit > 0.0
    if "tests.benchmarks.files_to_files" in command:
        return Finished(1.0, f"a log line\n{json.dumps(PIPELINE)}\n")
    if "128" in command:
        raise CommandFailed("no profiler")
    return Finished(1.0, json.dumps(KERNELS))


def test_every_part_has_a_row_and_a_place_in_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All parts are measured in order of importance; one that fails has a row that says so, and the others go on."""
    for name, made_up in (
        ("matrix_product_rates", lambda *_: {"bf16": 2e12}),
        ("prepare_process", lambda _device: None),
        ("measure_case", measured),
        ("run_timed", printed),
    ):
        monkeypatch.setattr(gpu_plan, name, made_up)
    path = tmp_path / "gpu.json"

    gpu.main(
        [
            *("--device", "cpu", "--throughput-size", "128", "--batches", "1", "2", "--sizes", "64", "128"),
            *("--json", str(path)),
        ]
    )

    content = json.loads(path.read_text())
    assert [(row["part"], row["size_px"], row.get("batch")) for row in content["rows"]] == [
        ("batches", 128, 1),
        ("batches", 128, 2),
        ("throughput", 128, 2),
        ("sizes", 64, 1),
        ("files_to_files", 128, None),
        ("kernels", 128, None),
        ("limited memory", 3000, 1),
    ]
    shown = table(content)
    for words in (
        "**11.5 pairs/s**, 120 evaluations per pair (median), 3 pairs, the device busy 93% of the time.",
        "Kernels of a step at 128 px, one pair at once: failed: no profiler.",
        "| 3000 within 24 GB | 1 | bf16 |",
    ):
        assert words in shown


def test_the_kernels_of_a_step_are_listed() -> None:
    """A step's kernels are counted and listed by the time that they take."""
    lines = "\n".join(_kernels({"part": "kernels", "size_px": 256, **KERNELS}))

    assert "Kernels of a step at 256 px, one pair at once: 480, which take 1.25 ms. The slowest:" in lines
    assert "| gemm<a/b> | 26 | 0.5 |" in lines
