"""flows.storage.s3: credentials, faults of the network and of the server, and lost answers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from flows import storage
from flows.errors import Forbidden, NotFound, StorageError, Unavailable
from flows.storage import s3
from tests.flows.fault_proxy import CUT_SHORT, FLIP_BIT, IGNORE_CONDITION, LOSE_ANSWER, FaultProxy


def test_creating_the_same_bytes_again_is_true(s3_bucket: str) -> None:
    """Bytes that are there already may be our own write whose answer was lost, so equal bytes count as created."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"same")

    assert storage.create(address, b"same") is True


def test_a_write_whose_answer_was_lost_is_our_own(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The server takes the bytes, the answer is lost, the retry is refused with 412: create still says True."""
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]
    created = storage.create(f"{s3_bucket}/a.txt", b"ours")

    assert s3_proxy.requests["PUT"] == 2
    assert created is True
    assert storage.read(f"{s3_bucket}/a.txt") == b"ours"


def test_a_write_refused_for_a_conflict_has_lost(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """AWS may answer 409 instead of 412 while another writer is at it: what that one wrote stays."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"theirs")
    s3_proxy.faults = [("PUT", (409, "ConditionalRequestConflict"))]
    created = storage.create(address, b"ours")

    assert s3_proxy.faults == []
    assert created is False
    assert storage.read(address) == b"theirs"


def test_a_store_that_ignores_the_condition_of_a_write_is_noted(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A probe of an existing object finds it out with one request per bucket, and leaves the object's bytes alone."""
    address = f"{s3_bucket}/out/plan.json"
    storage.create(address, b"a plan")
    s3_proxy.rule = lambda _method, _path: IGNORE_CONDITION
    before = s3_proxy.requests["PUT"]
    for _ in range(3):
        storage.probe(address, b"a plan")

    assert storage.shortfalls(f"{s3_bucket}/out") == [s3.objects.NO_CONDITION]
    assert storage.shortfalls("s3://another-bucket/out") == []
    assert s3_proxy.requests["PUT"] - before == 1
    assert storage.read(address) == b"a plan"


def test_a_store_that_keeps_the_condition_of_a_write_has_no_shortfalls(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A refused probe is no shortfall, also if its first response is lost."""
    address = f"{s3_bucket}/out/plan.json"
    storage.create(address, b"a plan")
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]
    storage.probe(address, b"a plan")

    assert s3_proxy.faults == []
    assert storage.shortfalls(f"{s3_bucket}/out") == []


def test_empty_data_is_never_created(s3_bucket: str) -> None:
    """s3fs writes an empty object without the condition, so create refuses before it could overwrite anything."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"first")

    with pytest.raises(ValueError, match="empty"):
        storage.create(address, b"")
    assert storage.read(address) == b"first"


def test_the_identity_is_etag_and_size(s3_bucket: str, s3_server: str) -> None:
    """The identity is what a HEAD request tells, so that no object is fetched to plan a run."""
    storage.create(f"{s3_bucket}/a.txt", b"12345")
    client = boto3.client("s3", endpoint_url=s3_server)
    head = client.head_object(Bucket=s3_bucket.removeprefix("s3://"), Key="a.txt")

    etag = head["ETag"].strip('"')
    assert storage.identity(f"{s3_bucket}/a.txt") == f"etag:{etag}:5"


def test_folder_markers_are_no_files(s3_bucket: str, s3_server: str) -> None:
    """The empty object that web consoles make for a folder is not among its names."""
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = s3_bucket.removeprefix("s3://")
    for key in ("marked/", "marked/below/", "marked/a.txt", "alone/"):
        client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"data")

    assert storage.names(f"{s3_bucket}/marked") == ["a.txt"]
    assert storage.names(f"{s3_bucket}/alone") == []
    assert storage.identity(f"{s3_bucket}/marked") is None


def test_a_listing_of_more_than_one_page_is_whole(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 lists so many names at a time (1,000 on AWS, 5 on this server); names gives them all."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    for number in range(12):
        storage.create(f"{s3_bucket}/many/{number:02}", b"data")

    assert storage.names(f"{s3_bucket}/many") == [f"{number:02}" for number in range(12)]


def test_what_another_client_writes_is_seen_at_once(s3_bucket: str, s3_server: str) -> None:
    """No answer is kept: what another machine writes, changes or removes after a first look shows in the next."""
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = s3_bucket.removeprefix("s3://")
    address = f"{s3_bucket}/out/a.txt"
    seen = []
    for body in (b"one", b"longer", None):
        if body is None:
            client.delete_object(Bucket=bucket, Key="out/a.txt")
        else:
            client.put_object(Bucket=bucket, Key="out/a.txt", Body=body)
        there = storage.identity(address) is not None
        seen.append((storage.names(f"{s3_bucket}/out"), there, storage.read(address) if there else None))

    assert seen == [(["a.txt"], True, b"one"), (["a.txt"], True, b"longer"), ([], False, None)]


def test_a_wrong_bucket_is_named(s3_server: str) -> None:
    """Reading from and writing to a bucket that is not there is an error that names it, and no retry helps."""
    address = "s3://no-such-bucket-anywhere/a.txt"

    for act, arguments in ((storage.read, ()), (storage.create, (b"data",)), (storage.replace, (b"data",))):
        with pytest.raises((NotFound, Forbidden), match="no-such-bucket-anywhere") as caught:
            act(address, *arguments)
        assert not caught.value.retryable


def test_an_address_that_s3_never_serves_is_not_called_a_passing_trouble(s3_bucket: str) -> None:
    """A bucket's name that S3 does not allow, or a bucket without a key, is wrong however often it is tried."""
    retryable = []
    for address in ("s3://not a bucket!/a.txt", s3_bucket):
        with pytest.raises(StorageError) as caught:
            storage.read(address)
        retryable.append(caught.value.retryable)

    assert retryable == [False, False]


def test_access_denied_is_forbidden(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A 403 raises Forbidden at once, with the server's reason; it is never taken for a missing object."""
    storage.create(f"{s3_bucket}/a.txt", b"data")
    raised = []
    for method, act in (
        ("GET", lambda: storage.read(f"{s3_bucket}/a.txt")),
        ("HEAD", lambda: storage.identity(f"{s3_bucket}/a.txt")),
        ("PUT", lambda: storage.create(f"{s3_bucket}/b.txt", b"data")),
        ("GET", lambda: storage.names(s3_bucket)),
    ):
        s3_proxy.faults = [(method, (403, "AccessDenied"))]
        with pytest.raises(Forbidden, match="access denied") as caught:
            act()
        raised.append((s3_proxy.faults, caught.value.retryable))

    assert raised == [([], False)] * 4


def test_without_credentials_it_is_forbidden_at_once(s3_server: str, tmp_path: Path) -> None:
    """With no credentials anywhere, a read says so in a moment instead of asking around."""
    code = (
        "from flows import storage\n"
        "from flows.errors import Forbidden\n"
        "try:\n"
        "    storage.read('s3://bucket/a.txt')\n"
        "except Forbidden as error:\n"
        "    print(error)\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": s3_server,
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    seconds = time.monotonic() - began

    assert done.stdout.startswith("s3://bucket/a.txt: no usable AWS credentials")
    assert seconds < 20


def test_a_server_that_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    """Where nobody answers, the call ends in bounded time with an error that is worth another run, and no secret."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3.requests.filesystem.cache_clear()
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        storage.read("s3://bucket/a.txt")
    seconds = time.monotonic() - began
    s3.requests.filesystem.cache_clear()

    assert caught.value.retryable
    assert "s3://bucket/a.txt" in str(caught.value)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert seconds < 15


def test_a_short_trouble_of_the_server_goes_unnoticed(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """One 503, a lost answer or an answer cut short is asked for again."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    read = []
    for fault in ((503, "SlowDown"), (500, "InternalError"), LOSE_ANSWER, CUT_SHORT):
        s3_proxy.faults = [("GET", fault)]
        read.append((storage.read(address) == b"data" * 1000, s3_proxy.faults))

    assert read == [(True, [])] * 4


def test_a_lasting_trouble_of_the_server_is_unavailable(s3_bucket: str, s3_proxy: FaultProxy, impatient: None) -> None:
    """After a bounded number of tries an overloaded server is given up, with an error that is worth another run."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data")
    s3_proxy.requests.clear()
    s3_proxy.faults = [("GET", (503, "ServiceUnavailable"))] * 100

    with pytest.raises(Unavailable) as caught:
        storage.read(address)
    assert caught.value.retryable
    assert 2 <= s3_proxy.requests["GET"] <= 12


def test_an_answer_that_is_always_cut_short_is_never_given_back(
    s3_bucket: str, s3_proxy: FaultProxy, impatient: None
) -> None:
    """`read` gives the whole file or an error, never a part of it."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    s3_proxy.faults = [("GET", CUT_SHORT)] * 100

    with pytest.raises(Unavailable):
        storage.read(address)


def test_a_flipped_bit_is_noticed(s3_bucket: str, s3_proxy: FaultProxy, impatient: None) -> None:
    """Bytes that do not match the checksum S3 keeps are an error, not a picture with a wrong colour."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    s3_proxy.faults = [("GET", FLIP_BIT)] * 100

    with pytest.raises(Unavailable):
        storage.read(address)


def test_a_version_is_not_read_out_of_a_key(s3_bucket: str, tmp_path: Path) -> None:
    """`key?versionId=x`, which s3fs would cut to `key`, is another object than `key`, in every operation."""
    plain, odd = f"{s3_bucket}/a.txt", f"{s3_bucket}/a.txt?versionId=1"
    storage.create(plain, b"data")

    with pytest.raises(NotFound, match="belong to the key of an s3:// address"):
        storage.read(odd)
    (tmp_path / "large").write_bytes(b"large")
    seen = []
    for write in (
        lambda: storage.replace(odd, b"other"),
        lambda: storage.replace_by(odd, str(tmp_path / "large")),
        lambda: storage.swap(odd, storage.read_with_version(odd)[1], b"swapped"),
        lambda: storage.remove(odd) or storage.create(odd, b"new"),
    ):
        write()
        seen.append((storage.read(odd), storage.read(plain), storage.size(odd), storage.names(s3_bucket)))
    names = ["a.txt", "a.txt?versionId=1"]
    assert seen == [(data, b"data", len(data), names) for data in (b"other", b"large", b"swapped", b"new")]
