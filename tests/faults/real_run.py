"""The real command, flow and worker processes on a made-up manifest; only the network is the stub's."""

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
        stub: how the stub behaves, in the words of `--stub`.
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
        """For the checks in `workload`, which look at the output alone."""
        return StubRun(self.manifest, self.output, str(self.folder / "made"))


_NST = [sys.executable, "-m", "flows.cli"]


def prepared(place: str, folder: Path, pairs: int, **changes: object) -> RealRun:
    """A run of so many pairs: its pictures and its manifest are written, its output is empty."""
    number = next(_NUMBERS)
    inputs, output = storage.join(place, "in", f"real-{number}"), storage.join(place, "out", f"real-{number}")
    folder = folder / f"real-{number}"
    folder.mkdir()
    names = [f"content-{index}.png" for index in range(pairs)]
    storage.each(lambda name: storage.replace(storage.join(inputs, name), _picture(folder, name)), [*names, "s.png"])
    rows = "".join(f"pair-{index},{name},s.png\n" for index, name in enumerate(names))
    manifest = storage.join(inputs, "pairs.csv")
    storage.replace(manifest, f"id,content,style\n{rows}".encode())
    return RealRun(manifest, output, folder, **changes)  # type: ignore[arg-type]  # of the tests' own making


def finished(run: RealRun, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
    """A whole run."""
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
    """A run in the background; whatever is left of it at the end is killed."""
    with open(run.folder / "printed", "ab") as printed:
        process = subprocess.Popen(
            run.command,
            cwd=run.folder,
            env=_environment(run),
            stdout=printed,
            stderr=printed,
            start_new_session=True,
            # Where the tests run in the background of a shell, Ctrl-C is ignored, and would be by whatever they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # nothing else runs in it
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workers_of(process_id: int) -> list[int]:
    """The process ids of a run's workers."""
    return [child for child in children_of(process_id) if "runners.worker_process" in _command_line(child)]


def server_of(process_id: int) -> int:
    """The process id of a run's embedded Prefect server."""
    (server,) = [child for child in children_of(process_id) if "uvicorn" in _command_line(child)]
    return server


def children_of(process_id: int) -> list[int]:
    """Process ids, as the system has them now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if parent == process_id:
            found.append(int(folder.name))
    return found


def is_alive(process_id: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return (Path("/proc") / str(process_id) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def peak_mb(process_id: int) -> int:
    """The most memory that a process has had so far; 0 when it has ended."""
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
    """Wait until so many pairs are recorded; how many there are then."""
    end = time.monotonic() + seconds
    while (found := records(run)) < number:
        assert time.monotonic() < end, (run.folder / "printed").read_text()[-3000:]
        time.sleep(0.02)
    return found


def records(run: RealRun) -> int:
    """How many pairs are recorded."""
    return len(storage.names(storage.join(run.output, "_nst", "records")))


def events(run: RealRun) -> str:
    """What the background run has printed."""
    return (run.folder / "printed").read_text()


def rows(run: RealRun) -> dict[str, tuple[str, str | None]]:
    """Pair id -> status and kind of error."""
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    return {row["pair_id"]: (row["status"], row["error_kind"] or None) for row in csv.DictReader(io.StringIO(text))}


def attempts(run: RealRun) -> int:
    """How many failed attempts are kept."""
    return sum(Ledger(run.output).index().attempts.values())


def summary(run: RealRun) -> dict[str, object]:
    """What `summary.json` says."""
    told: dict[str, object] = json.loads(storage.read(storage.join(run.output, "summary.json")))
    return told


def _picture(folder: Path, name: str) -> bytes:
    path = folder / name
    Image.frombytes("RGB", (4, 4), (name.encode() * 48)[:48]).resize((40, 40)).save(path)
    return path.read_bytes()


def _environment(run: RealRun) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    project = str(Path(__file__).parents[2])
    return kept | {"PREFECT_HOME": str(run.folder.parents[1] / "prefect"), "PYTHONPATH": project} | run.environment
