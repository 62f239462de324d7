"""The cost of each row and each record in addition to its pair: planning, commits, listings, the table.

python -m tests.benchmarks.rows --json tests/benchmarks/results/rows.json

Measured in this process and on the local disk. The cost of ten million pairs follows by multiplication.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from flows import storage
from flows.limits import Limits
from flows.manifest.load import load_manifest
from flows.output.ledger import Ledger
from flows.output.results import table_rows, write_tables
from flows.records.attempts import PairRecord
from flows.records.plans import RunPlan
from flows.records.timestamps import utc_now
from flows.run.plan import Earlier, Share, plan_run
from flows.run.prepare import prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners.runner import Means
from flows.settings import RunSettings, Selection
from nst_core import __version__
from nst_core.options import StylizeOptions
from tests.benchmarks.report import Report, add_json_option

R = TypeVar("R")

PICTURES = 100
SETTINGS = RunSettings(backbone="stub")
MEANS = Means(("cpu",), ("cpu",), "fp32")


def main() -> None:
    """Measure with the arguments of the command line, and write the report."""
    parser = argparse.ArgumentParser(description="Seconds per row and per record.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=5_000)
    add_json_option(parser)
    arguments = parser.parse_args()
    report = Report("rows", arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        manifest = _manifest(place, arguments.rows)
        before = _memory_bytes()
        seconds, (data, loaded) = _timed(lambda: load_manifest(str(manifest), StylizeOptions(), Limits()))
        report.add({"what": "read and check the manifest", "count": arguments.rows, "seconds": seconds})
        seconds, plan = _timed(
            lambda: plan_run(loaded, "0", Selection(), Earlier(Ledger(folder).index()), Share(devices=16))
        )
        row = {"what": "plan", "count": arguments.rows, "seconds": seconds, "bytes": len(data)}
        report.add({**row, "memory_bytes": _memory_bytes() - before})
        _measure_records(report, plan, str(manifest), place, arguments.records)
    report.finish()


def _measure_records(report: Report, plan: RunPlan, manifest: str, place: Path, count: int) -> None:
    part = str(place / "part.csv")
    Path(part).write_text("".join(Path(manifest).read_text().splitlines(keepends=True)[: count + 1]))
    output = str(place / "out")
    run = prepare_run(resolve(RunArguments(output, part, settings=SETTINGS)), MEANS)
    ledger = Ledger(output)
    records = [_record(pair.spec.pair_id, pair.fingerprint, run.record.run_id) for pair in run.plan.todo]
    picture = (place / "0.png").read_bytes()

    def commit(record: PairRecord) -> None:
        storage.replace(storage.join(output, record.output), picture)
        ledger.commit(record)

    seconds, _ = _timed(lambda: storage.each(commit, records))
    report.add({"what": "write an image and its record, to disk", "count": count, "seconds": seconds})
    seconds, index = _timed(ledger.index)
    report.add({"what": "list and read the records, without a snapshot", "count": count, "seconds": seconds})
    ledger.save_snapshot(index)
    seconds, index = _timed(ledger.index)
    report.add({"what": "list the records, with a snapshot", "count": count, "seconds": seconds})
    seconds, rows = _timed(lambda: table_rows(run.request.manifest, run.record, ledger, index))
    seconds_of_tables, _ = _timed(lambda: write_tables(rows, output))
    report.add({"what": "build and write the table", "count": count, "seconds": seconds + seconds_of_tables})


def _timed(function: Callable[[], R]) -> tuple[float, R]:
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def _memory_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _manifest(place: Path, rows: int) -> Path:
    for number in range(PICTURES):
        Image.effect_noise((64, 64), 1 + number).save(place / f"{number}.png")
    path = place / "pairs.csv"
    lines = (f"pair-{n},{n % PICTURES}.png,{n // PICTURES % PICTURES}.png,{n}\n" for n in range(rows))
    path.write_text("id,content,style,number\n" + "".join(lines))
    return path


def _record(pair_id: str, fingerprint: str, run_id: str) -> PairRecord:
    options = StylizeOptions().resolved()
    losses = dict.fromkeys(("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss"), 1.0)
    return PairRecord(
        pair_id=pair_id,
        fingerprint=fingerprint,
        run_id=run_id,
        content="/in/content.png",
        style="/in/style.png",
        output=f"images/{pair_id}-00000000.png",
        attempts=1,
        **losses,
        steps=100,
        evaluations=100,
        stop_reason="steps",
        width=512,
        height=512,
        seconds=1.0,
        device="cpu",
        precision="fp32",
        backbone="stub",
        weights_sha256="0" * 64,
        recipe=options.recipe,
        options_digest=options.digest(),
        options=options,
        seed=0,
        content_sha256="0" * 64,
        style_sha256="0" * 64,
        output_sha256="0" * 64,
        started_at=utc_now(),
        finished_at=utc_now(),
        engine_version=__version__,
        history=tuple((0, n, n, 1.0, 1.0, 1.0, 0.0, 0.1) for n in range(40)),  # type: ignore[misc]
    )


if __name__ == "__main__":
    main()
