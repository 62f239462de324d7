"""A run with real planning, lease, storage, ledger and tables, but without the engine: its images are made-up bytes.

It has a process of its own, so that it can be killed and stopped, and does for a pair what flows.worker does.
"""

import dataclasses
import hashlib
import logging
import multiprocessing
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import typer

from flows import storage
from flows.cli.app import exit_codes
from flows.errors import StorageError
from flows.output import lease
from flows.output.ledger import Ledger
from flows.records.attempts import PairRecord, failed_attempt
from flows.records.plans import PlannedPair
from flows.records.timestamps import utc_now
from flows.runners.local import local_means
from flows.settings import RunSettings
from tests.flows.builders import pair_record

THREADS = 4
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class StubRun:
    """What the process of a run does.

    Attributes:
        seconds: the time that each pair takes.
        random: whether the same pair gives other bytes each time, as on a GPU.
        with_lease: whether the run acquires the lease.
        log: the file that gets a line for every pair that was stylized.
    """

    manifest: str
    output: str
    log: str
    seconds: float = 0.0
    random: bool = False
    with_lease: bool = True
    wait_seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)


_FORK = multiprocessing.get_context("forkserver")
# All runs import the same modules, which takes long.
_FORK.set_forkserver_preload(["flows.run.finish", "tests.faults.stub_run"])


def start(run: StubRun) -> BaseProcess:
    """Start a process for the run, with the S3 settings of this process: the fork server may have older ones."""
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    run = dataclasses.replace(run, environment=aws | run.environment)
    process = _FORK.Process(target=_main, args=(run,))
    process.start()
    return process


def finished(run: StubRun, seconds: float = 300.0) -> int:
    """Run a process to its end and return its exit code."""
    process = start(run)
    process.join(seconds)
    assert process.exitcode is not None, "the run does not end"
    return process.exitcode


def _main(run: StubRun) -> None:
    os.environ.update(run.environment)
    with open(run.log + ".txt", "ab", buffering=0) as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with exit_codes():
            sys.exit(_carried_out(run))
    except typer.Exit as end:
        sys.exit(end.exit_code)


def _carried_out(run: StubRun) -> int:
    from flows.run.finish import check_credentials, finish_run
    from flows.run.prepare import prepare_run
    from flows.run.request import RunArguments, resolve

    request = resolve(RunArguments(run.output, run.manifest, settings=RunSettings(device="cpu", precision="fp32")))
    with lease.held(run.output, run.wait_seconds) if run.with_lease else nullcontext() as hold:
        prepared = prepare_run(request, local_means(request.settings))
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda pair: _done(pair, run, prepared.record.run_id), prepared.plan.todo))
        if hold is not None:
            hold.check()
        finished = finish_run(prepared)
    check_credentials(prepared, finished)
    summary = finished.summary
    if summary.pending:
        return 75
    return 3 if summary.failed or summary.rejected else 0


def _done(pair: PlannedPair, run: StubRun, run_id: str) -> None:
    started_at = utc_now()
    try:
        _made(pair, run, run_id)
    except StorageError as error:
        attempt = failed_attempt(pair, run_id, error, device="cpu", seconds=0.0, started_at=started_at)
        try:
            Ledger(run.output).add_attempt(attempt)
        except StorageError as trouble:
            print(f"row {pair.spec.row} left pending: {trouble}")  # noqa: T201  # into the run's log


def _made(pair: PlannedPair, run: StubRun, run_id: str) -> PairRecord:
    inputs = [storage.read(address, MAX_BYTES) for address in (pair.spec.content, pair.spec.style)]
    with open(run.log, "a") as log:
        log.write(f"{pair.spec.pair_id}\n")
    time.sleep(run.seconds)
    nonce = uuid.uuid4().bytes if run.random else b""
    data = hashlib.sha512(b"".join(inputs) + nonce).digest() * 50
    sha256 = hashlib.sha256(data).hexdigest()
    output = f"images/{pair.spec.pair_id}-{sha256[:8]}.png"
    storage.replace(storage.join(run.output, output), data)
    record = pair_record(
        pair.spec.pair_id,
        pair.fingerprint,
        run_id=run_id,
        output=output,
        output_sha256=sha256,
        content_sha256=hashlib.sha256(inputs[0]).hexdigest(),
        seconds=run.seconds,
        attempts=pair.attempt,
    )
    return Ledger(run.output).commit(record)


def wait_until_made(run: StubRun, number: int, process: BaseProcess) -> None:
    """Wait until a run has stylized so many pairs."""
    while len(made(run)) < number:
        assert process.is_alive(), Path(run.log + ".txt").read_text()[-3000:]
        time.sleep(0.02)


def made(run: StubRun) -> list[str]:
    """Return the ids of the pairs that were stylized, once for each time."""
    path = Path(run.log)
    return path.read_text().split() if path.exists() else []
