"""Exports to a real S3 server that are killed, or that get faulty answers."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.export.state_file import NAME
from tests.faults.seaweedfs import BUCKET, IMPATIENT, Weed
from tests.flows.fault_proxy import LOSE_ANSWER, RESET, FaultProxy
from tests.flows.outputs import Output

Survived = Callable[[str, str], None]
PAIRS = 600


def output(address: str, pairs: int = PAIRS) -> Output:
    """Write an output in which all pairs succeeded."""
    ids = [f"p{n:03d}" for n in range(pairs)]
    made = Output(address, "id,content,style\n" + "".join(f"{one},c.png,s.png\n" for one in ids), "/in/pairs.csv")
    storage.each(lambda one: made.done(one, size=(16, 16)), ids)
    return made


def command(source: str, target: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "export", source, target, *arguments]


def check(made: Output, target: str, pairs: int = PAIRS) -> None:
    """Check that the export has every image, byte for byte, and no other file."""
    images = {name[:4]: f"{made.address}/images/{name}" for name in storage.names(f"{made.address}/images")}
    found = [entry.name for entry in storage.tree(target) if entry.name not in (NAME, "SHA256SUMS", "metadata.csv")]
    assert len(found) == pairs
    same = storage.each(lambda name: storage.read(f"{target}/{name}") == storage.read(images[name[:4]]), found)
    assert all(same)


@pytest.mark.parametrize("place", ["local to S3", "within S3"])
def test_a_killed_export_is_continued(weed: Weed, tmp_path: Path, survived: Survived, place: str) -> None:
    """After SIGKILL of an export the next one keeps what was copied, and copies the other images."""
    name = place.replace(" ", "-")
    made = output(str(tmp_path / "out") if place.startswith("local") else f"s3://{BUCKET}/export-out-{name}")
    target = f"s3://{BUCKET}/export-{name}"
    process = subprocess.Popen(command(made.address, target), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while len(storage.tree(target)) < PAIRS // 8 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    copied = len(storage.tree(target)) - 1
    assert PAIRS // 8 - 2 <= copied < PAIRS
    done = subprocess.run(command(made.address, target), capture_output=True, text=True, check=True)

    assert f"{PAIRS} images, {PAIRS - copied} new, {copied} there already" in done.stdout
    check(made, target)
    survived("export", f"{place}: {copied} copied when killed, {PAIRS - copied} after")


@pytest.mark.parametrize("layout", ["imagefolder", "webdataset"])
def test_an_export_survives_faulty_answers(weed: Weed, proxy: FaultProxy, survived: Survived, layout: str) -> None:
    """A tenth of all requests fail, lose their answer or are reset, and the dataset is complete."""
    made = output(f"s3://{BUCKET}/export-out-{layout}", 100)
    target = f"s3://{BUCKET}/export-stumbling-{layout}"
    chance = random.Random(1)
    faults = [(503, "SlowDown"), (500, "InternalError"), LOSE_ANSWER, RESET]
    proxy.rule = lambda _method, _path: chance.choice(faults) if chance.random() < 0.1 else None
    environment = os.environ | IMPATIENT | {"AWS_ENDPOINT_URL": proxy.url}
    asked = command(made.address, target, "--layout", layout)
    first = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    second = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "100 images, 100 new, 0 there already" in first.stdout
    assert "100 images, 0 new, 100 there already" in second.stdout
    if layout == "imagefolder":
        check(made, target, 100)
    survived("export", f"{layout}: {sum(proxy.requests.values())} requests")
