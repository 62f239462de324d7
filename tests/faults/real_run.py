"""The command, flow and worker processes on generated images and manifests; the stub replaces the network alone."""

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from flows import storage
from flows.output.ledger import Ledger
from tests.faults.stub_run import StubRun

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class RealRun:
    """A command line, an empty output, and the environment to run in.

    Attributes:
        stub: how the stub behaves, as `--stub` takes it.
        more: further arguments of `nst run`.
    """

    manifest: str
    output: str
    folder: Path
    stub: str = ""
    more: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        words = ["--backbone", "stub", *(["--stub", self.stub] if self.stub else [])]
        return [*_NST, "run", self.manifest, "--output", self.output, "--size-px", "32", *words, *self.more]

    @property
    def as_stub_run(self) -> StubRun:
        """Return this run for the checks in `workload`, which look at the output alone."""
        return StubRun(self.manifest, self.output, str(self.folder / "made"))


_NST = [sys.executable, "-m", "flows.cli"]


def prepared(place: str, folder: Path, pairs: int, **changes: object) -> RealRun:
    """Write the images and the manifest of a run of so many pairs, and return the run; its output is empty."""
    number = next(_NUMBERS)
    inputs, output = storage.join(place, "in", f"real-{number}"), storage.join(place, "out", f"real-{number}")
    folder = folder / f"real-{number}"
    folder.mkdir()
    names = [f"content-{index}.png" for index in range(pairs)]
    storage.each(lambda name: storage.replace(storage.join(inputs, name), _image(folder, name)), [*names, "s.png"])
    rows = "".join(f"pair-{index},{name},s.png\n" for index, name in enumerate(names))
    manifest = storage.join(inputs, "pairs.csv")
    storage.replace(manifest, f"id,content,style\n{rows}".encode())
    return RealRun(manifest, output, folder, **changes)  # type: ignore[arg-type]  # a keyword of RealRun


def finished(run: RealRun, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        run.command,
        cwd=run.folder,
        env=_environment(run),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextmanager
def started(run: RealRun) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command in the background; if it still runs at the end of the block, it is killed."""
    with open(run.folder / "printed", "ab") as printed:
        process = subprocess.Popen(
            run.command,
            cwd=run.folder,
            env=_environment(run),
            stdout=printed,
            stderr=printed,
            start_new_session=True,
            # If a shell runs the tests in the background, they ignore SIGINT, and so would their child processes.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # nothing else runs in it
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workers_of(process_id: int) -> list[int]:
    """Return the process ids of a run's workers."""
    return [child for child in children_of(process_id) if "runners.worker_process" in _command_line(child)]


def server_of(process_id: int) -> int:
    """Return the process id of a run's embedded Prefect server."""
    (server,) = [child for child in children_of(process_id) if "uvicorn" in _command_line(child)]
    return server


def children_of(process_id: int) -> list[int]:
    """Return the ids of the child processes that exist now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it just ended
            continue
        if parent == process_id:
            found.append(int(folder.name))
    return found


def is_alive(process_id: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return (Path("/proc") / str(process_id) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def peak_mb(process_id: int) -> int:
    """Return the most memory that a process has used so far; 0 if it has ended."""
    try:
        status = (Path("/proc") / str(process_id) / "status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) // 1024 if "VmHWM:" in status else 0


def _command_line(process_id: int) -> str:
    try:
        return (Path("/proc") / str(process_id) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def wait_for_records(run: RealRun, number: int, seconds: float = 120.0) -> int:
    """Wait until so many pairs have records, and return how many have one then."""
    end = time.monotonic() + seconds
    while (found := records(run)) < number:
        assert time.monotonic() < end, (run.folder / "printed").read_text()[-3000:]
        time.sleep(0.02)
    return found


def records(run: RealRun) -> int:
    """Return the number of pairs that have records."""
    return len(storage.names(storage.join(run.output, "_nst", "records")))


def events(run: RealRun) -> str:
    """Return what a run in the background has printed."""
    return (run.folder / "printed").read_text()


def rows(run: RealRun) -> dict[str, tuple[str, str | None]]:
    """Return the status and the kind of error of each pair id."""
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    return {row["pair_id"]: (row["status"], row["error_kind"] or None) for row in csv.DictReader(io.StringIO(text))}


def attempts(run: RealRun) -> int:
    """Return the number of failed attempts in the ledger."""
    return sum(Ledger(run.output).index().attempts.values())


def summary(run: RealRun) -> dict[str, object]:
    """Return the content of `summary.json`."""
    told: dict[str, object] = json.loads(storage.read(storage.join(run.output, "summary.json")))
    return told


def _image(folder: Path, name: str) -> bytes:
    path = folder / name
    Image.frombytes("RGB", (4, 4), (name.encode() * 48)[:48]).resize((40, 40)).save(path)
    return path.read_bytes()


def _environment(run: RealRun) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    project = str(Path(__file__).parents[2])
    return kept | {"PREFECT_HOME": str(run.folder.parents[1] / "prefect"), "PYTHONPATH": project} | run.environment
