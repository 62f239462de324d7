"""Runs of many rows, planned and continued, on a local disk and on a real S3 server."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.output.ledger import Ledger
from flows.settings import RunSettings
from flows.worker.weights import resolve_weights
from tests.faults import real_run
from tests.faults.seaweedfs import BUCKET, Weed
from tests.faults.stub_run import StubRun, finished, made
from tests.flows.builders import pair_record

Survived = Callable[[str, str], None]

PLAN = """
import json, sys, time
from flows.output.ledger import Ledger
from flows.limits import Limits
from flows.manifest.load import load_manifest
from flows.run.plan import Earlier, Share, plan_run
from flows.settings import Selection
from nst_core.options import StylizeOptions
began = time.monotonic()
_, manifest = load_manifest(sys.argv[1], StylizeOptions(), Limits())
index = Ledger(sys.argv[2]).index()
plan = plan_run(manifest, sys.argv[3], Selection(), Earlier(index), Share(1, 16))
told = {"seconds": time.monotonic() - began, "rows": len(manifest.pairs), "done": len(plan.done)}
told["read"] = index.read_now
# Not getrusage, which includes the memory of the process before its exec.
status = open("/proc/self/status").read()
told["mb"] = int(status.split("VmHWM:")[1].split()[0]) // 1024
if len(sys.argv) > 4:
    told["fingerprints"] = {pair.spec.pair_id: pair.fingerprint for pair in plan.todo}
print(json.dumps(told))
"""


def planned(manifest: str, output: str, weights_sha256: str = "ab" * 32, *more: str) -> dict[str, object]:
    """Plan a run in a process of its own and return its figures."""
    command = [sys.executable, "-c", PLAN, manifest, output, weights_sha256, *more]
    folder = Path(__file__).parents[2]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    told: dict[str, object] = json.loads(printed)
    return told


def manifest_of(folder: str, rows: int) -> str:
    """Write a manifest of so many rows that use a tenth as many images."""
    images = max(1, rows // 10)
    names = [f"c{index}.bin" for index in range(images)]
    storage.each(lambda name: storage.replace(storage.join(folder, name), name.encode() * 100), names)
    lines = [f"pair-{index},c{index % images}.bin,c{index // images}.bin" for index in range(rows)]
    address = storage.join(folder, "pairs.csv")
    storage.replace(address, "\n".join(["id,content,style", *lines]).encode())
    return address


def test_a_hundred_thousand_rows_are_planned(tmp_path: Path, survived: Survived) -> None:
    """A manifest of 100,000 rows is loaded and planned in less than 15 s and 400 MB."""
    told = planned(manifest_of(str(tmp_path), 100_000), str(tmp_path / "out"))

    assert told["rows"] == 100_000
    assert float(str(told["seconds"])) < 15
    assert int(str(told["mb"])) < 400
    survived("load", f"100,000 rows planned in {told['seconds']:.1f} s, {told['mb']} MB")


def test_a_million_rows_are_refused(tmp_path: Path, survived: Survived) -> None:
    """A manifest of 1,000,000 rows is refused with the limit and advice in less than 10 s."""
    (tmp_path / "pairs.csv").write_text("id,content,style\n" + "".join(f"p{n},a.png,b.png\n" for n in range(1_000_000)))
    command = [sys.executable, "-m", "flows.cli", "validate", str(tmp_path / "pairs.csv")]
    began = time.monotonic()
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    seconds = time.monotonic() - began

    assert told.returncode == 2
    assert "expected 100,000 rows at most; split the file" in told.stderr
    assert seconds < 10
    survived("load", f"1,000,000 rows refused after {seconds:.1f} s")


@pytest.mark.parametrize(("place", "most"), [("local", 10), ("s3", 30)])
def test_a_run_with_ten_thousand_done_pairs_ends_in_seconds(
    place: str, most: float, weed: Weed, tmp_path: Path, survived: Survived
) -> None:
    """A run that finds 10,000 pairs done ends in seconds, with its table: the records come from their snapshot."""
    folder = str(tmp_path) if place == "local" else f"s3://{BUCKET}/load"
    manifest, output = manifest_of(storage.join(folder, "in"), 10_000), storage.join(folder, "out")
    weights = resolve_weights(RunSettings()).sha256
    fingerprints = planned(manifest, output, weights, "tell")["fingerprints"]
    assert isinstance(fingerprints, dict)

    def finish(pair_id: str) -> None:
        record = pair_record(pair_id, str(fingerprints[pair_id]))
        storage.replace(storage.join(output, record.output), b"an image")
        Ledger(output).commit(record)

    began = time.monotonic()
    storage.each(finish, fingerprints)
    made_in = time.monotonic() - began
    began = time.monotonic()
    ledger = Ledger(output)
    ledger.save_snapshot(ledger.index())
    first = time.monotonic() - began
    told = planned(manifest, output, weights)
    run = StubRun(manifest, output, str(tmp_path / "made"))
    began = time.monotonic()
    code = finished(run)
    whole = time.monotonic() - began

    assert (told["done"], told["read"]) == (10_000, 0)
    assert (code, made(run)) == (0, [])
    assert whole < most
    slower = f"without snapshot {first:.0f} s; committed in {made_in:.0f} s"
    planning = f"planned in {told['seconds']:.1f} s, {told['mb']} MB"
    survived("load", f"{place}: 10,000 done, gone on with in {whole:.1f} s, {planning} ({slower})")


@pytest.mark.parametrize(("place", "most_seconds", "most_mb"), [("local", 60, 400), ("s3", 300, 450)])
def test_the_command_does_ten_thousand_pairs(
    place: str, most_seconds: float, most_mb: int, weed: Weed, tmp_path: Path, survived: Survived
) -> None:
    """The command does 10,000 pairs of the stub, with images and records, within its limits of time and memory."""
    folder = str(tmp_path) if place == "local" else f"s3://{BUCKET}/load-flow"
    run = real_run.prepared(folder, tmp_path, 100)
    lines = [f"pair-{index},content-{index % 100}.png,s.png,{index}" for index in range(10_000)]
    storage.replace(run.manifest, "\n".join(["id,content,style,seed", *lines]).encode())
    peak, began = 0, time.monotonic()
    with real_run.started(run) as process:
        while process.poll() is None:
            peak = max(peak, real_run.peak_mb(process.pid))
            time.sleep(0.2)
    seconds = time.monotonic() - began

    assert process.returncode == 0, real_run.events(run)[-3000:]
    assert real_run.summary(run)["succeeded"] == 10_000
    assert seconds < most_seconds
    assert peak < most_mb
    survived("load", f"{place}: 10,000 pairs in {seconds:.0f} s, flow process at most {peak} MB")
