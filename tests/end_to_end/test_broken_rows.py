"""A manifest of 30 rows, 15 of them broken in different ways, through run, retry and status."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from nst_core.images import read_metadata
from tests.end_to_end.pictures import gradient, stripes

pytestmark = pytest.mark.slow

GOOD_ROWS = 15
BROKEN = {
    # line: (row as text, status, part of the reason)
    17: (",s0.png,,,", "rejected", "'content': expected a local path"),
    18: ("c0.png,,,,", "rejected", "'style': expected a local path"),
    19: ("c0.png,s0.png", "rejected", "expected 5 cells, found 2"),
    20: ("c0.png,s0.png,a,b,c,d,e", "rejected", "expected 5 cells, found 7"),
    21: ('c0.png,"s0.png,x,,', "rejected", "stray quote"),
    22: ("c0.png,s0.png,good-1,,", "rejected", "already used on line 3"),
    23: ("c0.png,s0.png,bad id,,", "rejected", "'id'"),
    24: ("c0.png,s0.png,big,99999,", "rejected", "'size_px'"),
    25: ("c0.png,s0.png,word,many,", "rejected", "'size_px': expected a whole number"),
    26: ("http://example.com/a.png,s0.png,web,,", "rejected", "'content': expected a local path"),
    27: ("missing.png,s0.png,missing,,", "failed", "missing.png: no such file"),
    28: ("text.jpg,s0.png,text,,", "failed", "text.jpg"),
    29: ("truncated.png,s0.png,truncated,,", "failed", "truncated.png"),
    30: ("tiny.png,s0.png,tiny,,", "failed", "tiny.png"),
    31: ("long.png,s0.png,long,,", "failed", "long.png"),
}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        gradient(72, 56, seed=number).save(folder / f"c{number}.png")
        stripes(64, 64, seed=number).save(folder / f"s{number}.png")
    (folder / "text.jpg").write_text("this is not a picture")
    gradient(64, 64, seed=9).save(folder / "whole.png")
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:-400])
    gradient(12, 12, seed=1).save(folder / "tiny.png")
    gradient(2100, 100, seed=1).save(folder / "long.png")
    rows = [f"c{n % 3}.png,s{n % 2}.png,good-{n},," for n in range(GOOD_ROWS)]
    rows[0] = 'c0.png,s0.png,good-0,,"007, a note"'
    lines = ["content,style,id,size_px,campaign", *rows, *(text for text, _, _ in BROKEN.values())]
    path = folder / "thirty.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_valid_rows_succeed_and_broken_rows_are_named(nst, manifest: Path, tmp_path: Path) -> None:
    """15 of 30 rows succeed, the others are named with line and reason; a retry redoes only the row that was mended."""
    out = tmp_path / "out"

    first = nst("run", manifest, "--output", out, "--size-px", "48", "--steps", "4")

    assert first.returncode == 3, first.stderr
    rows = list(csv.DictReader((out / "results.csv").open(newline="")))
    assert len(rows) == 30
    by_line = {int(row["row"]): row for row in rows}
    for line, (_, status, reason) in BROKEN.items():
        assert by_line[line]["status"] == status
        assert reason in by_line[line]["error"]
    good = [by_line[line] for line in range(2, 2 + GOOD_ROWS)]
    assert {row["status"] for row in good} == {"succeeded"}
    assert good[0]["campaign"] == "007, a note"
    for row in good:
        data = (out / row["output"]).read_bytes()
        assert Image.open(out / row["output"]).size == (48, 37)
        assert read_metadata(data)["pair_id"] == row["pair_id"]
        assert float(row["total_loss"]) < float(row["initial_total_loss"])
    assert len(pd.read_parquet(out / "results.parquet")) == 30
    success = json.loads((out / "_SUCCESS").read_text())
    assert (success["succeeded"], success["failed"], success["rejected"]) == (15, 5, 10)
    records = {path: path.stat().st_mtime_ns for path in (out / "_nst" / "records").iterdir()}
    assert len(records) == 15

    gradient(64, 64, seed=3).save(manifest.parent / "missing.png")
    again = nst("retry", out, "--json")

    summary = json.loads(again.stdout)
    assert again.returncode == 3
    assert (summary["succeeded"], summary["failed"], summary["rejected"]) == (16, 4, 10)
    assert (summary["done_before"], summary["stylized_now"]) == (15, 1)
    assert {path: path.stat().st_mtime_ns for path in records} == records

    status = nst("status", out)
    assert status.returncode == 3
    assert "16 succeeded, 4 failed, 10 rejected, 0 pending" in status.stdout
    assert "line 30 tiny: failed (bad_image)" in status.stdout


def test_retry_with_other_options_changes_the_failed_pairs_alone(nst, manifest: Path, tmp_path: Path) -> None:
    """`retry --size-px` redoes failed pairs at that size and no others, and `--max-attempts` ends the retries."""
    out = tmp_path / "out"
    stub = ("--backbone", "stub", "--stub", "oom=good-3,good-4")
    first = nst("run", manifest, "--output", out, "--size-px", "48", *stub)
    before = {row["pair_id"]: row for row in csv.DictReader((out / "results.csv").open(newline=""))}
    assert first.returncode == 3, first.stderr
    assert before["good-3"]["error_kind"] == "out_of_memory"
    assert "nothing is stylized" in first.stderr
    assert {row["backbone"] for row in before.values() if row["status"] == "succeeded"} == {"stub"}

    retried = nst("retry", out, "--size-px", "32", "--stub", "oom=good-4")
    rows = {row["pair_id"]: row for row in csv.DictReader((out / "results.csv").open(newline=""))}

    assert retried.returncode == 3, retried.stderr
    assert (rows["good-3"]["status"], rows["good-3"]["width"], rows["good-3"]["attempts"]) == ("succeeded", "32", "2")
    assert (rows["good-4"]["status"], rows["good-4"]["attempts"]) == ("failed", "2")
    done = [name for name, row in before.items() if row["status"] == "succeeded"]
    assert {name: rows[name]["output_sha256"] for name in done} == {
        name: before[name]["output_sha256"] for name in done
    }

    given_up = nst("retry", out, "--max-attempts", "2", "--json")
    assert json.loads(given_up.stdout)["failed"] == json.loads(nst("status", out, "--json").stdout)["failed"] == 6
    assert "good-4" not in given_up.stderr
