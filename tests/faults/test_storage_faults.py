"""Faults of the storage during a whole run: SeaweedFS behind a proxy that answers wrongly."""

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
    """Return a rule: the first so many requests of a method whose path contains a part go wrong."""
    left = iter([fault] * count)
    return lambda asked, path: next(left, None) if asked == method and part in path else None


def randomly(share: float, faults: list[Fault], seed: int) -> Callable[[str, str], Fault | None]:
    """Return a rule: this share of all requests goes wrong, in one of these ways."""
    chance = random.Random(seed)
    return lambda _method, _path: chance.choice(faults) if chance.random() < share else None


@pytest.mark.parametrize("fault", [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")])
def test_a_run_survives_a_burst_of_server_errors(
    run: StubRun, proxy: FaultProxy, survived: Survived, fault: Fault
) -> None:
    """A run survives three server errors in a row, when reading and when writing."""
    proxy.faults = [(method, fault) for method in ("PUT", "GET", "HEAD") for _ in range(3)]

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F1", f"{PAIRS}/{PAIRS}, made {len(made(run))}, {fault[1]}")


def test_an_image_that_is_never_served_fails_its_row(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """If the server always answers 503 for an image, its row fails and the others succeed."""
    proxy.rule = lambda method, path: (503, "ServiceUnavailable") if method == "GET" and "content-7" in path else None
    began = time.monotonic()

    assert finished(run) == 3
    seconds = time.monotonic() - began
    assert (statuses(run), kinds(run)) == ({"succeeded": PAIRS - 1, "failed": 1}, {"unavailable": 1})
    assert seconds < 60
    survived("F2", f"{PAIRS - 1} succeeded, 1 failed(unavailable), {seconds:.0f} s")


def test_a_run_survives_connection_resets(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """A run survives that one connection in ten is reset."""
    proxy.rule = randomly(0.1, [RESET], seed=3)

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F3", f"{PAIRS}/{PAIRS}, {proxy.requests.total()} requests")


@pytest.mark.brief
@pytest.mark.parametrize("part", ["/images/", "/records/"])
def test_a_lost_answer_to_a_write_repeats_nothing(
    run: StubRun, proxy: FaultProxy, survived: Survived, part: str
) -> None:
    """If the answer to the first write of every image or record is lost, each pair is still done once."""
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


def test_a_run_survives_conflicts(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """A run survives 409 ConditionalRequestConflict for records."""
    proxy.rule = times(8, (409, "ConditionalRequestConflict"), "PUT", "/records/")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F5", f"{PAIRS}/{PAIRS}, 8 conflicts")


def test_truncated_bodies_are_read_again(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """An image whose body was cut short is read again."""
    proxy.rule = times(5, CUT_SHORT, "GET", "content-")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F6", f"{PAIRS}/{PAIRS}, 5 bodies cut")


@pytest.mark.parametrize(("number", "fault"), [("F6", CUT_SHORT), ("F7", HANG), ("F8", DRIP), ("F9", FLIP_BIT)])
def test_an_image_that_never_arrives_fails_its_row(
    run: StubRun, proxy: FaultProxy, survived: Survived, number: str, fault: Fault
) -> None:
    """An image that is always cut short, unanswered, dripped or corrupted fails its row within its deadline."""
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
def test_corrupted_bodies_are_read_again(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """An image of which a bit was flipped on its way is noticed and read again."""
    proxy.rule = times(5, FLIP_BIT, "GET", "content-")

    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("F9", f"{PAIRS}/{PAIRS}, 5 bits flipped")


def test_a_forbidden_image_fails_its_row(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """An image that is refused with 403 fails its row as forbidden; the others succeed."""
    proxy.rule = lambda method, path: (403, "AccessDenied") if method == "GET" and "content-7" in path else None

    assert finished(run) == 3
    assert (statuses(run), kinds(run)) == ({"succeeded": PAIRS - 1, "failed": 1}, {"forbidden": 1})
    survived("F10", f"{PAIRS - 1} succeeded, 1 failed(forbidden)")


def test_an_output_without_write_access_ends_the_run(run: StubRun, weed: Weed, survived: Survived) -> None:
    """With credentials that may read but not write, the run ends with exit code 4 and writes nothing."""
    refused = dataclasses.replace(run, environment=run.environment | READER | {"AWS_ENDPOINT_URL": weed.url})
    began = time.monotonic()

    assert finished(refused) == 4
    seconds = time.monotonic() - began
    assert seconds < 20
    assert storage.names(run.output) == storage.names(storage.join(run.output, "images")) == []
    survived("F10", f"exit code 4 after {seconds:.1f} s, nothing written")


@pytest.mark.brief
def test_credentials_that_expire_end_the_run(run: StubRun, proxy: FaultProxy, survived: Survived) -> None:
    """When the credentials expire during a run it ends with exit code 4, and the same command completes it."""
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


def test_a_lack_of_credentials_is_reported_soon(run: StubRun, tmp_path: Path, survived: Survived) -> None:
    """Without credentials the command ends with exit code 4 and a clear message within 15 s."""
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


def test_a_run_survives_an_outage_of_the_server(run: StubRun, weed: Weed, survived: Survived) -> None:
    """After SIGKILL of the server and 20 s without it all pairs succeed, and none is done twice."""
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


def test_a_run_survives_repeated_outages(run: StubRun, weed: Weed, survived: Survived) -> None:
    """A run survives five kills of the server."""
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
def test_a_run_survives_all_faults_at_once(run: StubRun, proxy: FaultProxy, survived: Survived, share: float) -> None:
    """With random errors, resets, lost answers, and cut or corrupted bodies, at most three runs complete the output."""
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
    """Whatever errors occur, no credential is in a log, a record or a table."""
    proxy.rule = randomly(0.2, [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (500, "InternalError")], seed=5)
    finished(run)
    proxy.rule = None
    finished(run)
    prefix = run.output.removeprefix(f"s3://{BUCKET}/")
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    texts = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    texts["the output of the run"] = Path(run.log + ".txt").read_bytes()

    assert len(texts) > PAIRS
    assert [name for name, text in texts.items() if SECRET.encode() in text] == []
    survived("secrets", f"{len(texts)} files, {sum(map(len, texts.values()))} bytes, 0 with a secret")


def test_no_multipart_upload_is_left_open(client: Any, weed: Weed, survived: Survived) -> None:
    """None of the tests above leaves a multipart upload open."""
    open_uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    assert open_uploads == []
    survived("uploads", "0 open multipart uploads")
