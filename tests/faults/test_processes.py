"""What happens to processes under a whole run, through the real command: flow, workers, Prefect's server."""

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
def test_the_flow_is_killed_over_and_over(
    number: str, place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """Kill -9 of `nst run` at random times: nothing is lost, wrong or left running; little is done twice."""
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
    # A pair done twice leaves a second image, as no two of this stub's are alike.
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
def test_asked_to_stop(tmp_path: Path, survived: Survived, sent: signal.Signals) -> None:
    """SIGTERM, and Ctrl-C for the whole group: 75 within ten seconds, nothing half written, the rest next time."""
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
def test_a_worker_is_killed(tmp_path: Path, survived: Survived) -> None:
    """Kill -9 of a worker process in mid-run: another takes over, no pair fails."""
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
def test_one_pair_makes_trouble(
    tmp_path: Path, survived: Survived, number: str, words: str, more: tuple[str, ...], kind: str
) -> None:
    """One pair kills its process, exits, diverges, raises, hangs, or has too little memory: it alone fails."""
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


def test_prefects_server_dies(tmp_path: Path, survived: Survived) -> None:
    """Kill -9 of Prefect's server in mid-run: the pairs go on, every one is recorded and in the table."""
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
def test_other_options_on_the_same_output(
    place: str, request: pytest.FixtureRequest, tmp_path: Path, survived: Survived
) -> None:
    """Two sets of options on one output: their records stand side by side, each table names its own."""
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


def test_inputs_changed_during_a_run(tmp_path: Path, survived: Survived) -> None:
    """The manifest and a picture are replaced in mid-run: the kept manifest counts, the picture is named."""
    run = prepared(str(tmp_path), tmp_path, 12, stub="seconds=0.4")
    inputs = os.path.dirname(run.manifest)
    # A picture that is loaded late: a few are read ahead.
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
    survived("R5, R6", "manifest replaced: 12 rows as planned; picture replaced: failed(input_changed)")


@pytest.mark.brief
def test_credentials_expire_in_mid_run(weed: Weed, proxy: FaultProxy, tmp_path: Path, survived: Survived) -> None:
    """Every request is refused as expired from some moment on: the run ends with 4 at once, the rest is pending."""
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
