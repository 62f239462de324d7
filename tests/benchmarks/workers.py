"""How throughput grows with workers: `nst run` with the stub, whose pairs take a fixed time and no processor time.

python -m tests.benchmarks.workers --json tests/benchmarks/results/workers.json

Everything except the neural network is real: flow, worker processes or Ray actors, storage, records, log. The
difference from proportional growth is therefore this project's own cost, where few cores serve all workers.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from flows.runners.ray.cluster import ENVIRONMENT, LOOPBACK
from tests.benchmarks.machine import ROOT
from tests.benchmarks.processes import CommandFailed
from tests.benchmarks.report import Report, add_json_option
from tests.benchmarks.spread import spread

STYLES = 4
PICTURE_PX = 256


@dataclass(frozen=True)
class Timed:
    """The timings of one run.

    Attributes:
        startup_seconds: the time from the command until every worker has finished its first pair.
        pairs_per_second: the throughput while every worker was busy.
        pairs_per_second_to_end: the throughput from the same moment to the last pair, with idle workers at the end.
        cpu_seconds: processor time of all processes of the run, including start-up; without those of a Ray cluster.
    """

    startup_seconds: float
    whole_seconds: float
    pairs_per_second: float
    pairs_per_second_to_end: float
    cpu_seconds: float


def main() -> None:
    """Measure with the arguments of the command line, and write the report."""
    parser = argparse.ArgumentParser(description="Throughput with 1, 2, 4, ... workers, by the stub.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--runner", choices=["local", "ray"], default="local")
    parser.add_argument("--seconds", type=float, default=0.5, help="that every pair takes")
    parser.add_argument("--pairs", type=int, default=40, help="per worker")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="one more argument of `nst run`")
    add_json_option(parser)
    arguments = parser.parse_args()
    report = Report("workers", arguments)
    with tempfile.TemporaryDirectory() as folder, _cluster(arguments) as how:
        one: float | None = None
        for workers in arguments.workers:
            runs = [_timed(Path(folder), workers, arguments, number, how) for number in range(arguments.repeats)]
            row = _row(runs, workers, arguments)
            one = one or row["pairs_per_second"]["median"] / workers
            row["efficiency"] = row["pairs_per_second"]["median"] / (workers * one)
            row["efficiency_to_end"] = row["pairs_per_second_to_end"]["median"] / (workers * one)
            report.add(row)
    report.note(
        f"Efficiency: pairs per second over workers times those of {arguments.workers[0]}. Start-up is reported apart; "
        "it is that of all processes on these few cores: on one machine per worker they start beside each other."
    )
    report.finish()


def _row(runs: list[Timed], workers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    names = Timed.__dataclass_fields__
    spreads = {name: spread([getattr(run, name) for run in runs]).__dict__ for name in names}
    return {
        "runner": arguments.runner,
        "workers": workers,
        "seconds": arguments.seconds,
        "pairs": workers * arguments.pairs,
        **spreads,
    }


@contextmanager
def _cluster(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """The arguments that select the runner; for Ray, of a new local node with a CPU per worker, however few exist."""
    if arguments.runner == "local":
        yield []
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cpus = str(max(arguments.workers))
    command = [
        *(str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus", cpus),
        *("--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard", "false"),
    ]
    environment = os.environ | ENVIRONMENT | LOOPBACK | {"PYTHONPATH": str(ROOT)}
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(15)
        yield ["--runner", "ray", "--ray-address", f"127.0.0.1:{port}"]
    finally:
        head.terminate()
        head.wait()


def _timed(folder: Path, workers: int, arguments: argparse.Namespace, number: int, where: list[str]) -> Timed:
    place = folder / f"{workers}-{number}"
    manifest = _manifest(place, workers * arguments.pairs)
    how = [*where, "--ray-workers" if where else "--cpu-workers", str(workers)]
    command = [
        *(sys.executable, "-m", "flows.cli", "run", str(manifest), "--output", str(place / "out")),
        *("--size-px", str(PICTURE_PX), "--backbone", "stub", "--stub", f"seconds={arguments.seconds}"),
        *("--pairs-per-task", str(max(1, arguments.pairs // 2)), "--json-lines", *how, *arguments.option),
    ]
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT)}
    began, cpu = time.perf_counter(), os.times()
    seen: list[tuple[float, str]] = []
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "pair" and event["status"] == "succeeded":
                seen.append((time.perf_counter() - began, event["worker"]))
        code = process.wait()
    whole = time.perf_counter() - began
    if code != 0 or len(seen) != workers * arguments.pairs:
        raise CommandFailed(f"exit code {code}, {len(seen)} pairs: {(place / 'log').read_text()[-2000:]}")
    now = os.times()
    used = now.children_user + now.children_system - cpu.children_user - cpu.children_system
    return _summarised(seen, whole, used)


def _summarised(seen: list[tuple[float, str]], whole: float, cpu_seconds: float) -> Timed:
    names = {name for _, name in seen}
    all_there = max(min(at for at, name in seen if name == one) for one in names)
    first_idle = min(max(at for at, name in seen if name == one) for one in names)
    busy = [at for at, _ in seen if all_there < at <= first_idle]
    rest = [at for at, _ in seen if at > all_there]
    return Timed(
        startup_seconds=all_there,
        whole_seconds=whole,
        pairs_per_second=len(busy) / (first_idle - all_there) if busy else 0.0,
        pairs_per_second_to_end=len(rest) / (seen[-1][0] - all_there),
        cpu_seconds=cpu_seconds,
    )


def _manifest(place: Path, pairs: int) -> Path:
    place.mkdir()
    for number in range(STYLES):
        Image.effect_noise((PICTURE_PX, PICTURE_PX), 20 + number).convert("RGB").save(place / f"s{number}.png")
    Image.effect_noise((PICTURE_PX, PICTURE_PX), 60).convert("RGB").save(place / "c.png")
    rows = [f"p{number},c.png,s{number % STYLES}.png" for number in range(pairs)]
    path = place / "pairs.csv"
    path.write_text("\n".join(["id,content,style", *rows, ""]))
    return path


if __name__ == "__main__":
    main()
