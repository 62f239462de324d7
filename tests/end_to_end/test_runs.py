"""Whole runs: repeated, limited, on S3, interrupted and continued, and refused before they start."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

from flows import storage
from tests.end_to_end.pictures import gradient, stripes
from tests.flows.fault_proxy import FaultProxy

pytestmark = pytest.mark.slow

SECRET = "recognisable-secret-0123456789"
QUICK = ("--size-px", "48", "--steps", "4", "--precision", "fp32")
STUB = ("--size-px", "48", "--backbone", "stub")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for number in range(4):
        gradient(64, 48, seed=number).save(tmp_path / f"photo-{number}.jpg")
    stripes(64, 64, seed=5).save(tmp_path / "painting.png")
    path = tmp_path / "pairs.csv"
    rows = "".join(f"photo-{number}.jpg,painting.png,pair-{number}\n" for number in range(4))
    path.write_text("content,style,id\n" + rows)
    return path


def test_the_same_command_again_does_no_work(nst_without_server, manifest: Path, tmp_path: Path) -> None:
    """A run ends with 0 and a summary; the same command again says that nothing is left and changes no file."""
    first = nst_without_server("run", manifest, *QUICK)

    out = tmp_path / "runs" / "pairs"
    images = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert first.returncode == 0, first.stderr
    assert "4 succeeded, 0 failed, 0 rejected" in first.stdout
    assert all(f"pair-{number}" in first.stderr for number in range(4))
    assert len(images) == 4

    second = nst_without_server("run", manifest, *QUICK)

    assert second.returncode == 0
    assert "4 done before" in second.stdout
    assert "nothing was left to do" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()} == images


def test_only_and_limit_leave_the_rest_pending(nst, manifest: Path, tmp_path: Path) -> None:
    """`--only` does the named pair and `--limit` some; the table lists all rows, the others as pending."""
    one = nst("run", manifest, *STUB, "--output", "out", "--only", "pair-2", "--json")
    two = nst("run", manifest, *STUB, "--output", "out", "--limit", "1", "--json")

    rows = {row["pair_id"]: row["status"] for row in csv.DictReader((tmp_path / "out" / "results.csv").open())}
    assert (one.returncode, two.returncode) == (0, 0)
    assert json.loads(one.stdout)["pending"] == 3
    assert rows == {"pair-0": "succeeded", "pair-1": "pending", "pair-2": "succeeded", "pair-3": "pending"}
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_run_from_s3_to_s3_reveals_no_credential(nst, with_server: dict[str, str], manifest: Path) -> None:
    """With manifest, images, records and tables on S3, no credential is in any of them, in logs or in Prefect."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": f"token-{SECRET}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    s3 = boto3.client(
        "s3",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    s3.create_bucket(Bucket="pictures")
    for path in manifest.parent.iterdir():
        if path.is_file():
            s3.upload_file(str(path), "pictures", f"in/{path.name}")
    try:
        first = nst("run", "s3://pictures/in/pairs.csv", *QUICK, "--output", "s3://pictures/out", env=aws)
        second = nst("run", "s3://pictures/in/pairs.csv", *QUICK, "--output", "s3://pictures/out", env=aws)
        status = nst("status", "s3://pictures/out", "--json", env=aws)

        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="pictures", Prefix="out/")["Contents"]]
        kept = [s3.get_object(Bucket="pictures", Key=key)["Body"].read() for key in keys]
        table = pd.read_csv(s3.get_object(Bucket="pictures", Key="out/results.csv")["Body"])
    finally:
        server.stop()
    kept += [path.read_bytes() for path in Path(with_server["PREFECT_HOME"]).rglob("*") if path.is_file()]
    kept += [text.encode() for outcome in (first, second, status) for text in (outcome.stdout, outcome.stderr)]
    assert first.returncode == 0, first.stderr
    assert [data for data in kept if SECRET.encode() in data] == []
    assert (second.returncode, "nothing was left to do" in second.stdout) == (0, True)
    assert json.loads(status.stdout)["succeeded"] == 4
    assert len([key for key in keys if key.startswith("out/images/")]) == 4
    assert len([key for key in keys if key.startswith("out/_nst/records/")]) == 4
    assert {f"out/{output}" for output in table["output"]} <= set(keys)


def test_an_interrupted_run_is_continued_by_the_same_command(
    nst, with_server: dict[str, str], manifest: Path, tmp_path: Path
) -> None:
    """A run that gets Ctrl-C ends with 75 within seconds; finished pairs are kept, the same command does the rest.

    `tests/faults` has more of these: SIGTERM, an embedded server, S3.
    """
    # Pairs with a time budget are done one after another, and not all at once.
    network = ("--size-px", "64", "--plateau-tolerance", "0", "--steps", "20")
    slow = ["run", str(manifest), "--output", "out", *network, "--max-seconds", "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *slow],
        cwd=tmp_path,
        env=with_server,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Where the tests run in the background of a shell, Ctrl-C is ignored, and would be by whatever they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # nothing else runs in it
    )
    records = tmp_path / "out" / "_nst" / "records"
    deadline = time.monotonic() + 120
    while not any(records.glob("*.json")) and time.monotonic() < deadline:  # not one that is being written
        time.sleep(0.05)

    os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    printed, _ = process.communicate(timeout=60)

    finished = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert process.returncode == 75, printed
    assert time.monotonic() - began < 30
    assert 1 <= len(finished) < 4
    assert "Traceback" not in printed
    statuses = [row["status"] for row in csv.DictReader((tmp_path / "out" / "results.csv").open())]
    assert (statuses.count("succeeded"), statuses.count("pending")) == (len(finished), 4 - len(finished))

    assert not (tmp_path / "out" / "report.html").exists()  # there was no time for it
    assert nst("report", "out").returncode == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{4 - len(finished)} not done yet; go on with" in page
    assert page.count('"status":"pending"') == 4 - len(finished)

    rest = nst(*slow)

    assert rest.returncode == 0, rest.stderr
    assert f"{len(finished)} done before" in rest.stdout
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in records.glob("*.json")}.items()


def test_an_interrupt_ends_a_run_while_s3_is_unreachable(
    with_server: dict[str, str], manifest: Path, s3_server: str
) -> None:
    """A run that is interrupted while S3 does not answer ends with 75 at once, not when the outage is given up."""
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket="going-away")
    proxy = FaultProxy(s3_server)
    aws = {"AWS_ENDPOINT_URL": proxy.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    slow = ["--backbone", "stub", "--stub", "seconds=2", "--max-seconds", "600", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", str(manifest), "--output", "s3://going-away/out", *slow],
        cwd=manifest.parent,
        env=with_server | aws | {"AWS_DEFAULT_REGION": "us-east-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not storage.names("s3://going-away/out/_nst/records") and time.monotonic() < deadline:
        time.sleep(0.1)
    proxy.go_away()
    time.sleep(1)

    os.kill(process.pid, signal.SIGTERM)
    began = time.monotonic()
    printed, _ = process.communicate(timeout=200)

    assert process.returncode == 75, printed
    assert time.monotonic() - began < 40
    assert "interrupted: what is finished is kept" in printed
    assert "the table of this run could not be written" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--weights", "no-such-file.pth"], 4, "no-such-file.pth"),
        (["--weights", "painting.png", "--weights-sha256", "0" * 64], 4, "expected sha256 000000"),
        (["--device", "cuda:7"], 2, "no device 'cuda:7'"),
        (["--only", "nobody"], 2, "no valid row has the id 'nobody'"),
        (["--output", "s3://a/../b"], 2, "takes no"),
    ],
)
def test_a_refused_run_writes_nothing(nst, manifest: Path, arguments: list[str], code: int, message: str) -> None:
    """A run that cannot be done is refused with a reason and an exit code before anything is written."""
    outcome = nst("run", manifest, *QUICK, *arguments)

    assert (outcome.returncode, message in outcome.stderr) == (code, True), outcome.stderr
    assert not (manifest.parent / "runs" / "pairs").exists()


def test_a_deployment_accesses_only_what_its_limits_list(nst, manifest: Path, tmp_path: Path) -> None:
    """A flow run of a deployment is refused without limits that list its places, and allowed with them."""
    deployed = {"PREFECT__RUNTIME__DEPLOYMENT__ID": "f0e1d2c3-0000-0000-0000-000000000000"}
    refused = nst("run", manifest, *STUB, "--limit", "1", env=deployed)
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}"]\nwrite = ["{tmp_path}"]\n')
    allowed = nst("run", manifest, *STUB, "--limit", "1", env=deployed | {"NST_LIMITS": str(tmp_path / "limits.toml")})

    assert refused.returncode == 2
    assert "nothing may be written here" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr
