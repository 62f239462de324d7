"""Kills and stops of the processes of a whole run of the command: flow, workers and Prefect's server."""

import dataclasses
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from tests.faults.real_run import (
    attempts,
    events,
    finished,
    is_alive,
    prepared,
    records,
    rows,
    server_of,
    started,
    summary,
    wait_for_records,
    workers_of,
)
from tests.faults.seaweedfs import BUCKET, Weed
from tests.faults.workload import check, check_complete
from tests.flows.fault_proxy import FaultProxy

Survived = Callable[[str, str], None]
KILLS = int(os.environ.get("NST_TEST_KILLS", "5"))
WORKERS = 2


def place_of(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if place == "local":
        return str(tmp_path)
    request.getfixturevalue("weed")
    return f"s3://{BUCKET}/processes"


@pytest.mark.parametrize(("number", "place"), [pytest.param("F16", "local", marks=pytest.mark.brief), ("F17", "s3")])
def test_a_run_survives_kills_of_the_flow(
    number: str, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """After SIGKILL of `nst run` at random times nothing is lost, wrong or left running, and little is done twice."""
    pairs, chance = 10 * KILLS, random.Random(7)
    run = prepared(
        place_of(place, request, tmp_path),
        tmp_path,
        pairs,
        stub="seconds=0.1 random=true",
        more=("--cpu-workers", str(WORKERS)),
    )
    done = 0
    for _ in range(KILLS):
        with started(run) as process:
            wait_for_records(run, done + 1)
            time.sleep(chance.uniform(0.0, 0.3))
            left = [*workers_of(process.pid), server_of(process.pid)]
            process.kill()
            process.wait()
            _wait_until_ended(left)
        now = check(run.as_stub_run)
        assert now >= done
        done = now

    last = finished(run)
    assert last.returncode == 0, last.stderr
    check_complete(run.as_stub_run, pairs)
    # A pair that is done twice leaves a second image, as all images of this stub differ.
    twice = len(storage.names(storage.join(run.output, "images"))) - pairs
    assert twice <= KILLS * WORKERS
    survived(number, f"{KILLS} kills of nst run, {pairs}/{pairs}, {twice} images twice (<= {KILLS * WORKERS})")


def _wait_until_ended(process_ids: list[int]) -> None:
    end = time.monotonic() + 15
    while (left := [one for one in process_ids if is_alive(one)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


@pytest.mark.brief
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stop_request_ends_the_run(tmp_path: Path, survived: Survived, sent: signal.Signals) -> None:
    """SIGTERM, or Ctrl-C, ends a run with exit code 75 within ten seconds; the same command does the other pairs."""
    run = prepared(str(tmp_path), tmp_path, 20, stub="seconds=0.3")
    with started(run) as process:
        wait_for_records(run, 3)
        began = time.monotonic()
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        code = process.wait(60)
        seconds = time.monotonic() - began
    done = check(run.as_stub_run)

    assert code == 75, events(run)
    assert seconds < 10
    assert 3 <= done < 20
    assert Counter(status for status, _ in rows(run).values()) == {"succeeded": done, "pending": 20 - done}
    assert not any(name.endswith(".tmp") for name in storage.names(storage.join(run.output, "images")))
    assert finished(run).returncode == 0
    check_complete(run.as_stub_run, 20)
    survived("F18", f"{sent.name}: 75 after {seconds:.1f} s with {done} done, then 20/20")


@pytest.mark.brief
def test_a_killed_worker_costs_no_pair(tmp_path: Path, survived: Survived) -> None:
    """After SIGKILL of a worker during a run another worker goes on, and no pair fails."""
    run = prepared(str(tmp_path), tmp_path, 20, stub="seconds=0.2")
    with started(run) as process:
        wait_for_records(run, 3)
        (worker,) = workers_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        code = process.wait(120)

    assert code == 0, events(run)
    check_complete(run.as_stub_run, 20)
    assert attempts(run) == 0
    survived("F19", "20/20 after kill -9 of the worker, 0 failed attempts")


@pytest.mark.parametrize(
    ("number", "words", "more", "kind"),
    [
        ("F19", "kill", (), "worker_died"),
        ("F19", "exit", (), "worker_died"),
        ("F20", "nan", (), "diverged"),
        ("F20", "error", (), "internal"),
        ("F20", "hang", ("--pair-timeout-seconds", "5"), "timeout"),
        ("F20", "hang", ("--stall-seconds", "10"), "timeout"),
        ("F21", "oom", (), "out_of_memory"),
    ],
)
def test_a_pair_in_trouble_fails_alone(
    tmp_path: Path, survived: Survived, number: str, words: str, more: tuple[str, ...], kind: str
) -> None:
    """A pair that kills its process, exits, diverges, raises, hangs, or runs out of memory fails alone."""
    run = prepared(str(tmp_path), tmp_path, 8, stub=f"{words}=pair-5", more=more)
    began = time.monotonic()
    outcome = finished(run)
    seconds = time.monotonic() - began

    assert outcome.returncode == 3, outcome.stderr
    found = rows(run)
    assert found.pop("pair-5") == ("failed", kind)
    assert set(found.values()) == {("succeeded", None)}
    assert check(run.as_stub_run) == 7
    retried = finished(dataclasses.replace(run, stub=""))
    assert retried.returncode == 0, retried.stderr
    check_complete(run.as_stub_run, 8)
    survived(number, f"{' '.join((words, *more))}: 7 succeeded, 1 failed({kind}), {seconds:.0f} s, then 8/8")


def test_a_run_survives_the_death_of_the_prefect_server(tmp_path: Path, survived: Survived) -> None:
    """After SIGKILL of Prefect's server during a run, every pair has its record and its row in the table."""
    run = prepared(str(tmp_path), tmp_path, 20, stub="seconds=0.2")
    with started(run) as process:
        wait_for_records(run, 3)
        os.kill(server_of(process.pid), signal.SIGKILL)
        code = process.wait(200)
    done, told = records(run), summary(run)

    assert done == 20, events(run)
    assert (told["succeeded"], told["pending"]) == (20, 0)
    again = finished(run)
    assert again.returncode == 0, again.stderr
    assert "nothing was left to do" in again.stdout
    survived("F23", f"{done}/20 and the table without a server, exit code {code}; the next run finds nothing to do")


@pytest.mark.parametrize("place", ["local", "s3"])
def test_runs_with_other_options_share_an_output(
    place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """Two sets of options on one output have separate records, and each `_SUCCESS` has its own images."""
    run = prepared(place_of(place, request, tmp_path), tmp_path, 6)
    other = dataclasses.replace(run, more=("--seed", "9"))
    seen = []
    for one in (run, other, run):
        assert finished(one).returncode == 0
        marker = storage.read(storage.join(run.output, "_SUCCESS")).decode()
        seen.append(marker.partition('"images_sha256"')[2].split(",")[0])

    assert records(run) == 12
    assert seen[0] == seen[2] != seen[1]
    assert summary(run)["stylized_now"] == 0
    survived("R4", f"{place}: 12 records of 6 pairs, each _SUCCESS lists its own 6")


def test_inputs_that_change_during_a_run(tmp_path: Path, survived: Survived) -> None:
    """If the manifest and an image are replaced during a run, the rows stay as planned, and that image fails."""
    run = prepared(str(tmp_path), tmp_path, 12, stub="seconds=0.4")
    inputs = os.path.dirname(run.manifest)
    # One pair per task, as a few images are read ahead, and the replaced one must be read late.
    plenty = ("--pairs-per-task", "1")
    run = dataclasses.replace(run, more=plenty)
    with started(run) as process:
        wait_for_records(run, 2)
        storage.replace(run.manifest, b"id,content,style\nother,content-0.png,s.png\n")
        storage.replace(storage.join(inputs, "content-11.png"), storage.read(storage.join(inputs, "content-3.png")))
        code = process.wait(120)

    assert code == 3, events(run)
    found = rows(run)
    assert len(found) == 12
    assert found.pop("pair-11") == ("failed", "input_changed")
    assert set(found.values()) == {("succeeded", None)}
    survived("R5, R6", "manifest replaced: 12 rows as planned; image replaced: failed(input_changed)")


@pytest.mark.brief
def test_credentials_that_expire_end_the_run(weed: Weed, proxy: FaultProxy, tmp_path: Path, survived: Survived) -> None:
    """When all requests are refused as expired, the run ends with exit code 4 and its other pairs are pending."""
    run = prepared(f"s3://{BUCKET}/expired", tmp_path, 40, stub="seconds=0.3", more=("--pairs-per-task", "5"))
    run = dataclasses.replace(run, environment={"AWS_ENDPOINT_URL": proxy.url})
    with started(run) as process:
        wait_for_records(run, 3)
        began = time.monotonic()
        proxy.rule = lambda _method, _path: (400, "ExpiredToken")
        code = process.wait(120)
        seconds = time.monotonic() - began
    proxy.rule = None
    done = check(run.as_stub_run)

    assert code == 4, events(run)
    assert seconds < 30
    assert events(run).count("left pending") <= 12, events(run)
    assert 3 <= done < 40
    assert attempts(run) == 0
    assert finished(run).returncode == 0
    check_complete(run.as_stub_run, 40)
    survived("F11", f"exit code 4 after {seconds:.0f} s with {done} done, 0 attempts counted, then 40/40")
