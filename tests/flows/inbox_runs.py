"""A stand-in for the Prefect API, in files: starts a run once for each key, and reports states that a test sets.

As a program: `python inbox_runs.py INBOX OUTPUTS BOOK [die-after-start]` visits an inbox until nothing is left.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows import storage
from flows.errors import OutputBusy
from flows.inbox import Inbox, Runs, StartRequest, Visit, visit
from flows.limits import Limits
from flows.manifest import parse_manifest
from flows.output import Ledger
from flows.records.runs import RunRecord, RunState
from tests.flows.builders import FINGERPRINT, attempt_record, pair_record, run_record


class BookOfRuns:
    """Starts stand-in runs and keeps their requests and states as files in a folder."""

    def __init__(self, folder: Path, die_after_start: bool = False) -> None:
        self.folder, self.die_after_start = folder, die_after_start
        folder.mkdir(exist_ok=True)

    def start(self, request: StartRequest) -> str:
        with open(self.folder / "asked", "a") as file:
            file.write(f"{request.key}\n")
        state = self.folder / f"{request.key}.state"
        if not state.exists():
            state.write_text("running Running")
            (self.folder / f"{request.key}.request").write_text(f"{request.manifest}\n{request.output}")
        if self.die_after_start:
            os.kill(os.getpid(), signal.SIGKILL)
        return request.key

    def state_of(self, run_id: str) -> RunState:
        stage, _, rest = (self.folder / f"{run_id}.state").read_text().partition(" ")
        name, _, message = rest.partition(" ")
        error = OutputBusy(message) if name == "Busy" else None
        return RunState(stage, name, message, error)  # type: ignore[arg-type]

    # ---------------------------------------------------------- for tests

    @property
    def runs(self) -> Runs:
        return Runs(self.start, self.state_of)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().split() if path.exists() else []

    def end(self, run_id: str, state: str = "ended Completed all done") -> None:
        (self.folder / f"{run_id}.state").write_text(state)

    def carry_out(self, run_id: str, failing: tuple[str, ...] = ()) -> None:
        """Write what a real run leaves in its output, without computing images, and end the run."""
        manifest_address, output = (self.folder / f"{run_id}.request").read_text().splitlines()
        data = storage.read(manifest_address)
        manifest = parse_manifest(data, manifest_address, Inbox(place="/a", outputs="/b").options)
        ledger = Ledger(output)
        ledger.start_run(_record(manifest_address, manifest.sha256, [pair.pair_id for pair in manifest.pairs]), data)
        for pair in manifest.pairs:
            if pair.pair_id in failing:
                ledger.add_attempt(attempt_record(pair.pair_id, FINGERPRINT))
            else:
                record = pair_record(pair.pair_id, FINGERPRINT)
                storage.replace(storage.join(output, record.output), b"an image")
                ledger.commit(record)
        self.end(run_id)


def _record(manifest: str, sha256: str, pair_ids: list[str]) -> RunRecord:
    fingerprints = dict.fromkeys(pair_ids, FINGERPRINT)
    return run_record(fingerprints, manifest_uri=manifest, manifest_sha256=sha256)


class Clock:
    """Replaces the module `time` in flows.inbox.arrivals: `sleep` does not wait, but calls `meanwhile`."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.time, self.meanwhile = time.time, meanwhile
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()


def limits_for(*places: str) -> Limits:
    """Return an operator's limits that allow only these places."""
    return Limits(strict=True, read=places, write=places)


def visit_until_done(inbox: Inbox, book: BookOfRuns, limits: Limits) -> Visit:
    """Visit an inbox again and again, as a schedule does, and end each run at once, until nothing is open."""
    while True:
        done = visit(inbox, book.runs, limits, settle_seconds=0.01)
        if not done.busy:
            for run_id in {*book.asked}:
                if book.state_of(run_id).stage == "running":
                    book.carry_out(run_id)
            if not done.open:
                return done
        time.sleep(0.01)


if __name__ == "__main__":
    place, outputs, folder, *rest = sys.argv[1:]
    book = BookOfRuns(Path(folder), die_after_start=bool(rest))
    visit_until_done(Inbox(place=place, outputs=outputs), book, limits_for(place, outputs))
