"""render and tables: the README's figures are those of the JSON files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.render import BENCHMARKS, FOLDER, NOTHING_YET, README, rendered

MARKS = "".join(f"<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in BENCHMARKS)
SPREAD = {"median": 12.5, "min": 12.0, "max": 13.25, "values": [12.0, 12.5, 13.25]}
CONDITIONS: dict[str, Any] = {
    "began_at": "2026-01-02T03:04:05+00:00",
    "machine": {"cpu": "A processor", "cores": 2, "torch_threads": 2, "memory_gib": 16.0, "gpu": None},
    "versions": {"python": "3.11.7", "torch": "2.6.0", "commit": "abc"},
    "load_average_before": [0.25, 0, 0],
    "load_average_after": [2.5, 0, 0],
    "notes": ["said once"],
}
PEER_ROW = {
    "peer": "pastiche",
    "pair": "a x b",
    "size_px": 256,
    "peer_steps": 500,
    "reached": True,
    "initial_loss": 1e6,
    "peer_saved_loss": 1234.5,
    "our_saved_loss": 1230.25,
    "peer_seconds": SPREAD,
    "our_seconds": SPREAD,
    "our_engine_seconds": SPREAD,
    "our_evaluations": [60, 61],
    "times_faster": 11.25,
}
CASE_ROW = {
    "size_px": 512,
    "batch": 4,
    "precision": "bf16",
    "seconds_per_evaluation": SPREAD,
    "flop_per_second": 3.5e11,
    "share_of_matrix_product": 0.825,
    "evaluations": 8,
    "stylize_seconds": SPREAD,
    "pairs_per_second": 3.75,
    "peak_memory_bytes": 3 * 2**30,
}
RATES = {"matrix_product_flop_per_second": {"bf16": 4.1e11}}
BULK_ROW = {
    "pairs": 4,
    "of_pairs": 24,
    "size_px": 256,
    "peer": "pastiche",
    "peer_steps": 500,
    "peer_seconds": 400.0,
    "our_seconds": 40.0,
    "times_faster": 10.0,
    "extrapolated": True,
    "pairs_above_peer": 1,
    "worst_loss_ratio": 1.01,
    "peer_seconds_of_all_pairs": 2400.0,
    "our_seconds_of_all_pairs": 240.0,
    "losses": [{"pair": "a--b", "peer": 100.0, "ours": 101.0}],
}


def write(folder: Path, benchmark: str, *rows: object, **more: object) -> None:
    content = {"benchmark": benchmark, **CONDITIONS, **more, "rows": rows}
    (folder / f"{benchmark}.json").write_text(json.dumps(content))


def test_without_results_the_marks_are_kept(tmp_path: Path) -> None:
    """Without JSON files the text between the marks says that there are no results, and the marks are kept."""
    text = rendered(MARKS, tmp_path)

    assert text == MARKS.replace("old", NOTHING_YET)


def test_figures_conditions_and_notes_are_filled_in(tmp_path: Path) -> None:
    """A table has medians with their extremes and losses; hardware, versions, load and notes are around it."""
    write(tmp_path, "peers", PEER_ROW)

    text = rendered(MARKS, tmp_path)

    row = "| pastiche | a x b | 256 | 500 | 12.5 (12-13.2) | 12.5 (12-13.2) | 11.2 | 12.5 (12-13.2) | 60 61 |"
    assert f"{row} 1e+06 | 1234.5 | 1230.2 |" in text
    assert "A processor, 2 cores, 2 threads, 16 GiB; python 3.11.7, torch 2.6.0; commit abc" in text
    assert "load average 0.25 before, 2.5 after" in text
    assert "- said once" in text
    assert text.count(NOTHING_YET) == len(BENCHMARKS) - 1


def test_seconds_computed_from_short_runs_have_a_star(tmp_path: Path) -> None:
    """Seconds of a pair that are computed from short runs have a star, and those of a loop with such a pair too."""
    write(tmp_path, "peers", PEER_ROW | {"peer_steps_timed": 40}, PEER_ROW)
    write(tmp_path, "bulk", *(BULK_ROW | {"peer_timed_whole": whole} for whole in (3, 4)))

    text = rendered(MARKS, tmp_path)

    assert text.count("| 12.5 (12-13.2)* | 12.5 (12-13.2) |") == 1
    assert (text.count("| 400* | 40 |"), text.count("| 400 | 40 |")) == (1, 1)


def test_a_processor_is_named_with_its_instructions(tmp_path: Path) -> None:
    """The processor's instructions are shown beside its name, because processors of one name can differ in them."""
    known = {"machine": CONDITIONS["machine"] | {"instructions": "AVX2"}}
    (tmp_path / "peers.json").write_text(json.dumps({"benchmark": "peers", **CONDITIONS, **known, "rows": [PEER_ROW]}))

    assert "A processor (AVX2), 2 cores" in rendered(MARKS, tmp_path)


def test_rendering_again_changes_nothing(tmp_path: Path) -> None:
    """Rendering keeps the marks, so that a second rendering gives the same text."""
    write(tmp_path, "scaling", CASE_ROW, **RATES)

    once = rendered(MARKS, tmp_path)

    assert rendered(once, tmp_path) == once
    assert "| 512 | 4 | bf16 | 12.5 (12-13.2) | 350 GFLOP/s | 82% | 8 |" in once


def test_failures_misses_and_extrapolations_are_shown(tmp_path: Path) -> None:
    """The tables show a peer that did not run, a loss that was not reached, a skipped case and an extrapolation."""
    write(tmp_path, "peers", {"peer": "neural-style", "failed": "no | such\nfile"}, {**PEER_ROW, "reached": False})
    write(tmp_path, "bulk", BULK_ROW)
    skipped = {"size_px": 2048, "batch": 16, "skipped": "predicted to take 80.0 GiB"}
    write(tmp_path, "gpu", {"part": "throughput", **CASE_ROW}, {"part": "sizes", **skipped}, **RATES)

    text = rendered(MARKS, tmp_path)

    assert "did not run: no / such file" in text
    assert "1230.2 (NOT reached)" in text
    assert "EXTRAPOLATED 2400" in text
    assert "skipped: predicted to take 80.0 GiB" in text
    assert "**3.75 pairs/s** at 512 px, 8 evaluations per pair, 4 at once; 350 GFLOP/s, 82% of the bf16" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    """Rows without figures, such as those of failures, have as many cells as the head too."""
    write(tmp_path, "peers", {"peer": "neural-style", "failed": "gone"}, PEER_ROW)
    write(tmp_path, "scaling", CASE_ROW, {"size_px": 2048, "batch": 16, "failed": "killed"}, **RATES)
    write(tmp_path, "bulk", BULK_ROW)

    for block in re.findall(r"(?:^\|.*\n)+", rendered(MARKS, tmp_path), re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_a_readme_without_marks_is_refused(tmp_path: Path) -> None:
    """A README without the marks of a table is an error, so that no table is silently left out."""
    with pytest.raises(ValueError, match="expected the marks <!-- peers -->"):
        rendered("no marks", tmp_path)


def test_the_readme_has_the_figures_of_the_results() -> None:
    """The tables in this folder's README are those of the JSON files in `results/`."""
    assert README.read_text() == rendered(README.read_text(), FOLDER / "results")
