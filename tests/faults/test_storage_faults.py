"""Faults of the storage under a whole run: SeaweedFS behind a proxy that answers wrongly."""

import dataclasses
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from tests.faults.seaweedfs import BUCKET, IMPATIENT, READER, SECRET, Weed
from tests.faults.stub_run import StubRun, finished, made, start, wait_until_made
from tests.faults.workload import check, check_complete, kinds, prepared, statuses
from tests.flows.fault_proxy import CUT_SHORT, DRIP, FLIP_BIT, HANG, LOSE_ANSWER, RESET, Fault, FaultProxy

Survived = Callable[[str, str], None]
PAIRS = 20


@pytest.fixture
def run(weed: Weed, proxy: FaultProxy, tmp_path: Path) -> StubRun:
    """A run of twenty pairs through the proxy."""
    environment = IMPATIENT | {"AWS_ENDPOINT_URL": proxy.url}
    return prepared(f"s3://{BUCKET}", str(tmp_path), PAIRS, environment=environment)


def times(count: int, fault: Fault, method: str, part: str) -> Callable[[str, str], Fault | None]:
    """A rule: the first so many requests of that method whose path holds that part go wrong."""
    left = iter([fault] * count)
    return lambda asked, path: next(left, None) if asked == method and part in path else None


def randomly(share: float, faults: list[Fault], seed: int) -> Callable[[str, str], Fault | None]:
    """A rule: that share of all requests goes wrong, in one of these ways."""
    chance = random.Random(seed)
    return lambda _method, _path: chance.choice(faults) if chance.random() < share else None


@pytest.mark.parametrize("fault", [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")])
def test_burst(run: StubRun, proxy: FaultProxy, survived: Survived, fault: Fault) -> None:
    """Three server errors in a row, on reading and on writing."""
    proxy.faults = [(method, fault) for method in ("PUT", "GET", "HEAD") for _ in range(3)]

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F1", f"{PAIRS}/{PAIRS}, made {len(made(run))}, {fault[1]}")


def test_one_object_is_never_served(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """503 for ever on one picture: its row fails, the others go on."""
    proxy.rule = lambda method, path: (503, "ServiceUnavailable") if method == "GET" and "content-7" in path else None
    began = time.monotonic()

    assert finished(run) == 3
    seconds = time.monotonic() - began
    assert (statuses(run), kinds(run)) == ({"succeeded": PAIRS - 1, "failed": 1}, {"unavailable": 1})
    assert seconds < 60
    survived("F2", f"{PAIRS - 1} succeeded, 1 failed(unavailable), {seconds:.0f} s")


def test_resets(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """One connection in ten is reset."""
    proxy.rule = randomly(0.1, [RESET], seed=3)

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F3", f"{PAIRS}/{PAIRS}, {proxy.requests.total()} requests")


@pytest.mark.brief
@pytest.mark.parametrize("part", ["/images/", "/records/"])
def test_lost_answers(run: StubRun, proxy: FaultProxy, survived: Survived, part: str) -> None:
    """The answer to every first write of an image or a record is lost: done once, by us."""
    seen: set[str] = set()

    def rule(method: str, path: str) -> Fault | None:
        if method != "PUT" or part not in path or path in seen:
            return None
        seen.add(path)
        return LOSE_ANSWER

    proxy.rule = rule
    assert finished(run) == 0
    check_complete(run, PAIRS)
    assert len(seen) == len(made(run)) == PAIRS
    assert len(storage.names(storage.join(run.output, "images"))) == PAIRS
    survived("F4", f"{part} {len(seen)} answers lost, made {len(made(run))}, 0 twice")


def test_conflicts(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """409 ConditionalRequestConflict on records."""
    proxy.rule = times(8, (409, "ConditionalRequestConflict"), "PUT", "/records/")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F5", f"{PAIRS}/{PAIRS}, 8 conflicts")


def test_truncated_once(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """A picture's body is cut short, once."""
    proxy.rule = times(5, CUT_SHORT, "GET", "content-")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F6", f"{PAIRS}/{PAIRS}, 5 bodies cut")


@pytest.mark.parametrize(("number", "fault"), [("F6", CUT_SHORT), ("F7", HANG), ("F8", DRIP), ("F9", FLIP_BIT)])
def test_one_object_never_arrives(
    run: StubRun, proxy: FaultProxy, survived: Survived, number: str, fault: Fault
) -> None:
    """A picture is always cut short, never answered, dripped or corrupted: its row fails within its deadline."""
    requests = []

    def rule(method: str, path: str) -> Fault | None:
        if method == "GET" and "content-7" in path:
            requests.append(path)
            return fault
        return None

    proxy.rule = rule
    began = time.monotonic()
    assert finished(run) == 3
    seconds = time.monotonic() - began
    assert (statuses(run), kinds(run)) == ({"succeeded": PAIRS - 1, "failed": 1}, {"unavailable": 1})
    assert len(requests) <= 12
    assert seconds < 45
    survived(number, f"{fault}: {PAIRS - 1} succeeded, 1 failed, {len(requests)} requests, {seconds:.0f} s")


@pytest.mark.brief
def test_flipped_once(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """A bit of a picture is flipped on its way, once: noticed, read again."""
    proxy.rule = times(5, FLIP_BIT, "GET", "content-")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F9", f"{PAIRS}/{PAIRS}, 5 bits flipped")


def test_one_input_is_forbidden(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """403 on one picture: its row fails as forbidden, at once."""
    proxy.rule = lambda method, path: (403, "AccessDenied") if method == "GET" and "content-7" in path else None

    assert finished(run) == 3
    assert (statuses(run), kinds(run)) == ({"succeeded": PAIRS - 1, "failed": 1}, {"forbidden": 1})
    survived("F10", f"{PAIRS - 1} succeeded, 1 failed(forbidden)")


def test_the_output_is_forbidden(run: StubRun, weed: Weed, survived: Survived) -> None:
    """Credentials that may read and not write: the run stops, nothing is half written."""
    refused = dataclasses.replace(run, environment=run.environment | READER | {"AWS_ENDPOINT_URL": weed.url})
    began = time.monotonic()

    assert finished(refused) == 4
    seconds = time.monotonic() - began
    assert seconds < 20
    assert storage.names(run.output) == storage.names(storage.join(run.output, "images")) == []
    survived("F10", f"exit code 4 after {seconds:.1f} s, nothing written")


@pytest.mark.brief
def test_expired_credentials(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """Credentials expire in the middle: the run stops with 4, rows stay pending, the same command finishes."""
    counted = iter(range(10_000))
    proxy.rule = lambda _method, _path: (400, "ExpiredToken") if next(counted) > 60 else None
    code = finished(run)
    proxy.rule = None
    done = check(run)

    assert code == 4
    assert 0 < done < PAIRS
    assert storage.names(storage.join(run.output, "_nst", "attempts")) == []
    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F11", f"exit code 4 with {done} done, 0 attempts counted, then {PAIRS}/{PAIRS}")


def test_no_credentials(run: StubRun, tmp_path: Path, survived: Survived) -> None:
    """No credentials anywhere: exit code 4 and a clear message, soon."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    environment |= {"AWS_ENDPOINT_URL": run.environment["AWS_ENDPOINT_URL"]}
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", "status", run.output],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began

    assert told.returncode == 4
    assert "no usable AWS credentials" in told.stderr
    assert seconds < 15
    survived("F12", f"exit code 4 after {seconds:.1f} s")


def test_the_server_dies_and_comes_back(run: StubRun, weed: Weed, survived: Survived) -> None:
    """Kill -9 of the server in the middle, 20 s of silence, and it is back: all done, nothing made twice."""
    slow = dataclasses.replace(run, seconds=0.5, environment=IMPATIENT | {"AWS_ENDPOINT_URL": weed.url})
    process = start(slow)
    wait_until_made(slow, 6, process)
    weed.kill()
    time.sleep(20)
    weed.start()
    process.join(120)

    assert process.exitcode == 0
    check_complete(slow, PAIRS)
    assert len(made(slow)) == PAIRS
    survived("F13", f"{PAIRS}/{PAIRS} after 20 s without a server, made {len(made(slow))}")


def test_the_server_flaps(run: StubRun, weed: Weed, survived: Survived) -> None:
    """Kill -9 of the server five times during a run."""
    slow = dataclasses.replace(run, seconds=0.8, environment=IMPATIENT | {"AWS_ENDPOINT_URL": weed.url})
    process, kills = start(slow), 0
    wait_until_made(slow, 2, process)
    for _ in range(5):
        weed.kill()
        time.sleep(0.5)
        weed.start()
        kills += 1
        time.sleep(0.5)
    process.join(120)

    assert process.exitcode == 0
    check_complete(slow, PAIRS)
    survived("F14", f"{PAIRS}/{PAIRS} over {kills} kills of the server, made {len(made(slow))}")


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_everything_at_once(run: StubRun, proxy: FaultProxy, survived: Survived, share: float) -> None:
    """Errors, resets, lost answers, cut and corrupted bodies at random."""
    faults: list[Fault] = [(503, "SlowDown"), (500, "InternalError"), RESET, LOSE_ANSWER, CUT_SHORT, FLIP_BIT]
    proxy.rule = randomly(share, faults, seed=11)
    runs = 1
    while (code := finished(run)) != 0 and runs < 3:
        assert code in (3, 75)
        runs += 1
    proxy.rule = None

    check_complete(run, PAIRS)
    survived("F15", f"{share:.0%} faults: {PAIRS}/{PAIRS} in {runs} runs, {proxy.requests.total()} requests")


def test_no_secret_is_written(run: StubRun, proxy: FaultProxy, client: Any, survived: Survived) -> None:
    """Through errors of every family, no credential reaches a log, a record or a table."""
    proxy.rule = randomly(0.2, [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (500, "InternalError")], seed=5)
    finished(run)
    proxy.rule = None
    finished(run)
    prefix = run.output.removeprefix(f"s3://{BUCKET}/")
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    texts = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    texts["what the run printed"] = Path(run.log + ".txt").read_bytes()

    assert len(texts) > PAIRS
    assert [name for name, text in texts.items() if SECRET.encode() in text] == []
    survived("secrets", f"{len(texts)} files, {sum(map(len, texts.values()))} bytes, 0 with a secret")


def test_nothing_is_left_dangling(client: Any, weed: Weed, survived: Survived) -> None:
    """No multipart upload is left open by anything above."""
    open_uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    assert open_uploads == []
    survived("uploads", "0 open multipart uploads")
