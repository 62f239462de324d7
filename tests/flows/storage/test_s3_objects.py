"""flows.storage on S3: objects that were replaced, encoded or archived, requester pays, and access points."""

import gzip
import hashlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import storage
from flows.errors import Archived, InputChanged, NotDecoded, NotFound, TooLarge
from flows.storage import s3
from flows.storage.codings import decoded
from flows.worker.inputs import read_input
from tests.flows.fault_proxy import FaultProxy
from tests.flows.s3_peer import Answer, Request, S3Peer, an_object, refusal

DATA_GZ = gzip.compress(b"data", mtime=0)
Peer = Callable[[Callable[[Request], Answer]], S3Peer]


@pytest.fixture
def client(s3_server: str) -> Any:
    """The S3 API of the server, without any code of this project."""
    return boto3.client("s3", endpoint_url=s3_server)


@pytest.fixture
def versioned(s3_bucket: str, client: Any) -> str:
    """The address of a bucket that keeps versions."""
    client.put_bucket_versioning(Bucket=s3_bucket.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"})
    return s3_bucket


def put(client: Any, address: str, data: bytes, **more: str) -> str:
    """Write an object without this project's code, and return its version id."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return str(client.put_object(Bucket=bucket, Key=key, Body=data, **more).get("VersionId", ""))


# ---------------------------------------------------------------- versions


def test_fetch_returns_the_version_that_was_read(versioned: str, client: Any) -> None:
    """A fetched object has the hash, identity and version id of its own bytes."""
    address = f"{versioned}/a b#?.png"
    for data in (b"one", b"two!"):
        version = put(client, address, data)
        identity = storage.identity(address)
        found = storage.fetch(address, identity or "")

        assert (found.data, found.identity, found.version_id) == (data, identity, version)
        assert found.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("said", [{}, {"x_amz_version_id": "null"}])
def test_a_bucket_without_versions_gives_no_version_id(peer: Peer, said: dict[str, str]) -> None:
    """A bucket with versioning off or suspended gives no version id: its version "null" may be overwritten."""
    peer(lambda _: an_object(b"data", **said))

    assert storage.fetch("s3://studio/a.png", "etag:an-etag:4").version_id == ""


def test_fetch_reads_the_planned_version_of_a_replaced_object(versioned: str, client: Any) -> None:
    """The version with the planned identity is found and its id returned, however many versions are newer."""
    address = f"{versioned}/in/a.png"
    for longer in ("", "b", "bc"):
        put(client, address + longer, f"beside{longer}".encode())
    planned = put(client, address, b"planned")
    identity = storage.identity(address)
    for number in range(3):
        put(client, address, f"newer {number}".encode())
    found = storage.fetch(address, identity or "")

    assert (found.data, found.identity, found.version_id) == (b"planned", identity, planned)


def test_a_removed_object_is_not_read(versioned: str, client: Any) -> None:
    """A removed object is not read, although its version is still kept: its owner no longer wants it used."""
    address = f"{versioned}/a.png"
    put(client, address, b"planned")
    identity = storage.identity(address)
    storage.remove(address)

    with pytest.raises(NotFound):
        storage.fetch(address, identity or "")


@pytest.mark.parametrize("refused", ["list", "get"])
def test_without_the_right_to_versions_the_newest_is_read(
    versioned: str, client: Any, s3_proxy: FaultProxy, refused: str
) -> None:
    """The newest version is read instead, and its identity differs from the planned one."""
    address = f"{versioned}/a.png"
    put(client, address, b"planned")
    identity = storage.identity(address)
    put(client, address, b"newer")
    word = {"list": "?versions", "get": "versionId="}[refused]
    s3_proxy.rule = lambda _method, path: (403, "AccessDenied") if word in path else None
    found = storage.fetch(address, identity or "")

    assert (found.data, found.identity) == (b"newer", storage.identity(address))
    with pytest.raises(InputChanged, match="was replaced after this run was planned"):
        read_input(address, identity or "")


def test_fetch_needs_one_request(s3_bucket: str, client: Any, s3_proxy: FaultProxy) -> None:
    """Bytes, identity and version id come from a single response, so that no replacement can come between them."""
    put(client, f"{s3_bucket}/a.png", b"data")
    identity = storage.identity(f"{s3_bucket}/a.png")
    s3_proxy.requests.clear()
    storage.fetch(f"{s3_bucket}/a.png", identity or "")

    assert dict(s3_proxy.requests) == {"GET": 1}


# ---------------------------------------------------------------- Content-Encoding


@pytest.mark.parametrize(
    ("coding", "stored"),
    [
        ("gzip", DATA_GZ),
        ("GZIP", DATA_GZ),
        ("x-gzip", DATA_GZ),
        ("gzip,aws-chunked", DATA_GZ),
        ("aws-chunked, gzip", DATA_GZ),
        ("gzip, gzip", gzip.compress(DATA_GZ, mtime=0)),
        ("aws-chunked", b"data"),
        ("identity", b"data"),
        ("utf-8", b"data"),
        ("", b"data"),
    ],
)
def test_gzip_is_decoded_and_other_values_are_ignored(peer: Peer, coding: str, stored: bytes) -> None:
    """Every way of reading returns the decoded bytes, with their hash; the identity is that of the stored bytes."""
    peer(lambda _: an_object(stored, **({"Content_Encoding": coding} if coding else {})))
    found = storage.fetch("s3://studio/a.png", "")

    assert storage.read("s3://studio/a.png", 10_000) == b"data"
    assert storage.read_with_version("s3://studio/a.png") == (b"data", '"an-etag"')
    assert (found.data, found.sha256) == (b"data", hashlib.sha256(b"data").hexdigest())
    assert found.identity == storage.identity("s3://studio/a.png") == f"etag:an-etag:{len(stored)}"


@pytest.mark.parametrize(
    ("coding", "stored", "reason"),
    [
        ("br", b"data", "has the Content-Encoding br; only gzip is read"),
        ("gzip,zstd", b"data", "has the Content-Encoding zstd"),
        ("deflate", zlib.compress(b"data"), "has the Content-Encoding deflate"),
        ("gzip", b"\x89PNG data", "says Content-Encoding: gzip, and is none"),
        ("gzip", gzip.compress(b"data" * 999, mtime=0)[:-12], "says Content-Encoding: gzip, and is none"),
        ("gzip", DATA_GZ[:-8] + bytes(8), "says Content-Encoding: gzip, and is none"),
        ("gzip", b"", "says Content-Encoding: gzip, and has no bytes"),
    ],
)
def test_an_object_that_cannot_be_decoded_is_an_error_at_once(
    peer: Peer, coding: str, stored: bytes, reason: str
) -> None:
    """The message has the Content-Encoding and the reason, and the request is not retried."""
    there = peer(lambda _: an_object(stored, Content_Encoding=coding))
    with pytest.raises(NotDecoded, match=reason) as caught:
        storage.read("s3://studio/a.png")

    assert not caught.value.retryable
    assert len(there.requests) == 1


def test_a_gzip_bomb_is_refused_at_the_limit() -> None:
    """A gigabyte of zeros is decoded only up to the limit, in little time and not to its damaged end."""
    bomb = (gzip.compress(bytes(10_000_000)) * 100)[:-9]
    began = time.process_time()
    with pytest.raises(TooLarge, match="expected at most 1000000 bytes once decoded from gzip, found more"):
        decoded("s3://studio/a.png", bomb, "gzip", 1_000_000)

    assert time.process_time() - began < 1
    assert decoded("s3://studio/a.png", gzip.compress(bytes(10)), "gzip", 10) == bytes(10)


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.booleans())
def test_concatenated_gzip_files_are_decoded_as_one(first: bytes, second: bytes, padded: bool) -> None:
    """Concatenated gzip files (`cat a.gz b.gz`) are decoded, also with trailing zeros, as tapes leave them."""
    data = gzip.compress(first) + gzip.compress(second) + bytes(16 * padded)

    assert decoded("s3://studio/a", data, "gzip", None) == first + second


# ---------------------------------------------------------------- archives


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (["<StorageClass>GLACIER</StorageClass>"], r" \(GLACIER\)"),
        (["<StorageClass>DEEP_ARCHIVE</StorageClass>"], r" \(DEEP_ARCHIVE\)"),
        (
            ["<StorageClass>INTELLIGENT_TIERING</StorageClass>", "<AccessTier>ARCHIVE_ACCESS</AccessTier>"],
            r" \(ARCHIVE_ACCESS\)",
        ),
        ([], ""),
    ],
)
def test_an_archived_object_is_an_error_at_once(peer: Peer, told: list[str], shown: str) -> None:
    """An archived object is requested only once: only a restore helps, which takes hours."""
    there = peer(lambda _: refusal(403, "InvalidObjectState", *told))
    with pytest.raises(Archived, match=rf"^s3://studio/a.png: is archived{shown}; restore it first") as caught:
        storage.read("s3://studio/a.png")

    assert not caught.value.retryable
    assert len(there.requests) == 1


# ---------------------------------------------------------------- requester pays


@pytest.mark.parametrize("named", ["studio", " theirs , studio"])
def test_requester_pays_is_sent_to_the_named_buckets_only(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The requester-pays header is sent to the buckets that the operator named, and to no other: it costs money."""
    listing = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
    there = peer(
        lambda asked: (
            Answer(200, listing) if "list-type" in asked.path else an_object(b"" if asked.method == "PUT" else b"data")
        )
    )
    monkeypatch.setenv("NST_REQUESTER_PAYS", named)
    for bucket in ("studio", "other"):
        storage.read(f"s3://{bucket}/a.png")
        storage.identity(f"s3://{bucket}/a.png")
        storage.names(f"s3://{bucket}/in")
        storage.replace(f"s3://{bucket}/a.png", b"data")
    said = {(one.method, one.path.split("/")[1][:5]): one.headers.get("x-amz-request-payer") for one in there.requests}

    methods = {method for method, _ in said}
    assert methods == {"GET", "HEAD", "PUT"}
    assert {said[method, "studi"] for method in methods} == {"requester"}
    assert {said[method, "other"] for method in methods} == {None}


# ---------------------------------------------------------------- access points


def test_an_access_point_has_its_own_host(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of a request is derived from the access point's ARN, as an HTTP proxy sees."""
    there = peer(lambda _: an_object(b"data"))
    monkeypatch.setenv("HTTP_PROXY", there.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.test")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    s3.requests.filesystem.cache_clear()
    arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/mine"

    assert storage.read(f"s3://{arn}/in/a b#.png") == b"data"
    assert storage.read("s3://mine-abc123-s3alias/a.png") == b"data"
    assert there.requests[0].headers["host"] == "mine-123456789012.s3.test"
    assert there.requests[0].path.endswith("/in/a%20b%23.png")
    assert there.requests[1].path.endswith("/mine-abc123-s3alias/a.png")
