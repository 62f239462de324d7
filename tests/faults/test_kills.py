"""Runs that are killed or stopped, that compete with another run, or that lose an image: real processes and signals.

They have no engine, Prefect or workers, so that twenty kills take a minute; `test_processes` has those.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.output.garbage import find_garbage
from tests.faults.seaweedfs import BUCKET, Weed
from tests.faults.stub_run import THREADS, StubRun, finished, made, start, wait_until_made
from tests.faults.workload import check, check_complete, prepared, statuses

Survived = Callable[[str, str], None]
KILLS = 20
RACES = int(os.environ.get("NST_TEST_RACES", "3"))
"""How often each race is run, each time with another output."""


def folder_of(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if place == "local":
        return str(tmp_path)
    request.getfixturevalue("weed")
    return f"s3://{BUCKET}/kills"


@pytest.mark.parametrize(("number", "place"), [("F16", "local"), ("F17", "s3")])
def test_a_run_survives_twenty_kills(
    number: str, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """A run is killed twenty times: no result is lost or wrong, and only pairs in progress are done again."""
    pairs, seed = 200, 7
    chance = random.Random(seed)
    run = prepared(folder_of(place, request, tmp_path), str(tmp_path), pairs, seconds=0.1)
    done = 0
    for _ in range(KILLS):
        process, began, before = start(run), time.monotonic(), len(made(run))
        while len(made(run)) == before and process.is_alive() and time.monotonic() - began < 30:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.25))
        process.kill()
        process.join()
        now = check(run)
        assert now >= done
        done = now

    assert finished(run) == 0
    check_complete(run, pairs)
    redone = len(made(run)) - pairs
    assert redone <= KILLS * THREADS
    litter = len(find_garbage(run.output, -60))
    bound = KILLS * THREADS
    survived(number, f"{KILLS} kills, {pairs}/{pairs}, {redone} redone (<= {bound}), {litter} files of litter")


@pytest.mark.parametrize("number", range(RACES))
@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_second_run_ends_or_waits_for_the_first(
    number: int, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """A second run on the same output ends with exit code 75; one that may wait finds nothing left to do."""
    run = prepared(folder_of(place, request, tmp_path), str(tmp_path), 20, seconds=0.3)
    first = start(run)
    wait_until_made(run, 1, first)
    busy = finished(run)
    waited = finished(StubRun(run.manifest, run.output, run.log, wait_seconds=60))
    first.join(60)

    assert (busy, waited, first.exitcode) == (75, 0, 0)
    assert len(made(run)) == 20
    assert "another run is writing here" in Path(run.log + ".txt").read_text()
    check_complete(run, 20)
    survived("R1", f"{place}, {number + 1} of {RACES}: busy 75, waited 0, made {len(made(run))} of 20")


@pytest.mark.parametrize("number", range(RACES))
@pytest.mark.parametrize("place", ["local", "s3"])
def test_two_runs_without_a_lease_keep_one_record_per_pair(
    number: int, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """Of two runs that race without a lease, every pair has one record, which states its own image's hash."""
    pairs, folder = 40, folder_of(place, request, tmp_path)
    run = prepared(folder, str(tmp_path), pairs, seconds=0.02, random=True, with_lease=False)
    processes = [start(run), start(run)]
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0]
    check_complete(run, pairs)
    orphans = len(storage.names(storage.join(run.output, "images"))) - pairs
    survived(
        "R2",
        f"{place}, {number + 1} of {RACES}: {pairs} records, 0 wrong, made {len(made(run))}, {orphans} images for gc",
    )


@pytest.mark.parametrize("number", range(RACES))
@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_stopped_run_whose_lease_was_taken_ends(
    number: int, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """While a run is stopped by SIGSTOP, another takes its lease; after SIGCONT the first run ends with code 75."""
    pairs = 20
    run = prepared(folder_of(place, request, tmp_path), str(tmp_path), pairs, seconds=0.2, random=True)
    sleeper = start(run)
    wait_until_made(run, 5, sleeper)
    assert sleeper.pid is not None
    os.kill(sleeper.pid, signal.SIGSTOP)
    _age_lease(run)
    code = finished(run)
    os.kill(sleeper.pid, signal.SIGCONT)
    sleeper.join(60)

    assert (code, sleeper.exitcode) == (0, 75)
    check_complete(run, pairs)
    most = max(Counter(made(run)).values())
    survived(
        "R3, F24", f"{place}, {number + 1} of {RACES}: {pairs}/{pairs}, 0 wrong, no pair made more than {most} times"
    )


def _age_lease(run: StubRun) -> None:
    """Change the lease as if its last renewal were hours ago by the holder's clock, and its term one second."""
    address = storage.join(run.output, "_nst", "lease.json")
    held = json.loads(storage.read(address))
    storage.replace(address, json.dumps(held | {"renewed_at": 0.0, "term_seconds": 1.0}).encode())


def test_a_lost_image_is_made_again(weed: Weed, tmp_path: Path, survived: Survived) -> None:
    """The next run notices images that were removed, and makes those and no others again."""
    run = prepared(f"s3://{BUCKET}/lost", str(tmp_path), 20, random=True)
    assert finished(run) == 0
    for name in storage.names(storage.join(run.output, "images"))[:3]:
        storage.remove(storage.join(run.output, "images", name))

    assert finished(run) == 0
    assert len(made(run)) == 23
    assert statuses(run) == {"succeeded": 20}
    survived("images", "3 of 20 removed, 3 made again")
