"""flows.storage.s3: credentials, errors of the network and of the server, and lost responses."""

import os
import time
from pathlib import Path

import boto3
import pytest

from flows import storage
from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, Unavailable
from flows.storage import s3
from flows.storage.s3.listings import WORTH_A_LISTING
from flows.storage.s3.requests import content_type
from nst_core.options.file_formats import FILE_FORMATS
from tests.flows.fault_proxy import CUT_SHORT, FLIP_BIT, IGNORE_CONDITION, LOSE_ANSWER, FaultProxy


def test_creating_the_same_bytes_again_is_true(s3_bucket: str) -> None:
    """An existing object with equal bytes may be our own write whose response was lost, so `create` returns True."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"same")

    assert storage.create(address, b"same") is True


def test_a_create_whose_response_was_lost_succeeded(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The server stores the bytes, the response is lost, and the retry gets 412: `create` still returns True."""
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]
    created = storage.create(f"{s3_bucket}/a.txt", b"ours")

    assert s3_proxy.requests["PUT"] == 2
    assert created is True
    assert storage.read(f"{s3_bucket}/a.txt") == b"ours"


def test_a_create_refused_for_a_conflict_returns_false(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """AWS may respond 409 instead of 412 during another write: the other writer's object stays."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"theirs")
    s3_proxy.faults = [("PUT", (409, "ConditionalRequestConflict"))]
    created = storage.create(address, b"ours")

    assert s3_proxy.faults == []
    assert created is False
    assert storage.read(address) == b"theirs"


def test_a_store_that_ignores_the_condition_of_a_write_is_noted(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A probe of an existing object detects it with one request per bucket and does not change the object's bytes."""
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


def test_a_store_that_honours_conditions_has_no_shortfalls(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A refused probe is no shortfall, even if its first response is lost."""
    address = f"{s3_bucket}/out/plan.json"
    storage.create(address, b"a plan")
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]
    storage.probe(address, b"a plan")

    assert s3_proxy.faults == []
    assert storage.shortfalls(f"{s3_bucket}/out") == []


def test_creating_an_empty_object_is_refused(s3_bucket: str) -> None:
    """s3fs writes an empty object without the condition, so `create` refuses it before it could overwrite anything."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"first")

    with pytest.raises(ValueError, match="empty"):
        storage.create(address, b"")
    assert storage.read(address) == b"first"


def test_the_identity_of_an_object_is_its_etag_and_size(s3_bucket: str, s3_server: str) -> None:
    """The identity comes from a HEAD request, so that planning a run downloads no object."""
    storage.create(f"{s3_bucket}/a.txt", b"12345")
    client = boto3.client("s3", endpoint_url=s3_server)
    head = client.head_object(Bucket=s3_bucket.removeprefix("s3://"), Key="a.txt")

    etag = head["ETag"].strip('"')
    assert storage.identity(f"{s3_bucket}/a.txt") == f"etag:{etag}:5"


def test_folder_markers_are_not_listed(s3_bucket: str, s3_server: str) -> None:
    """The empty object that web consoles create for a folder is not listed and has no identity."""
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = s3_bucket.removeprefix("s3://")
    for key in ("marked/", "marked/below/", "marked/a.txt", "alone/"):
        client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"data")

    assert storage.names(f"{s3_bucket}/marked") == ["a.txt"]
    assert storage.names(f"{s3_bucket}/alone") == []
    assert storage.identity(f"{s3_bucket}/marked") is None


def test_a_listing_of_several_pages_is_complete(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 lists a limited number of names per page (1,000 on AWS, 5 on this server); `names` returns them all."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    for number in range(12):
        storage.create(f"{s3_bucket}/many/{number:02}", b"data")

    assert storage.names(f"{s3_bucket}/many") == [f"{number:02}" for number in range(12)]


def test_identities_of_few_objects_among_many_are_complete(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is given up if it takes too many pages for the objects that are wanted: those that it did not reach are
    not missing, but requested one by one.
    """
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    wanted = ["a", *(f"z{number:02}" for number in range(WORTH_A_LISTING))]
    between = [f"m{number:02}" for number in range(20)]
    for name in (*wanted, *between):
        storage.create(f"{s3_bucket}/in/{name}", name.encode())
    addresses = [f"{s3_bucket}/in/{name}" for name in (*wanted, "absent", "zz-absent")]
    alone = {address: storage.identity(address) for address in addresses}

    assert storage.identities(addresses) == alone
    assert [address for address, identity in alone.items() if identity is None] == addresses[-2:]


def test_changes_by_another_client_are_seen_at_once(s3_bucket: str, s3_server: str) -> None:
    """Nothing is cached: an object that another machine writes, changes or removes is seen by the next call."""
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
    """Reading from and writing to a bucket that does not exist raises an error that names it and is not retryable."""
    address = "s3://no-such-bucket-anywhere/a.txt"

    for act, arguments in ((storage.read, ()), (storage.create, (b"data",)), (storage.replace, (b"data",))):
        with pytest.raises((NotFound, Forbidden), match="no-such-bucket-anywhere") as caught:
            act(address, *arguments)
        assert not caught.value.retryable


def test_an_address_that_s3_never_serves_is_not_retried(s3_bucket: str) -> None:
    """An invalid bucket name, or a bucket without a key, raises an error that is not retryable."""
    retryable = []
    for address in ("s3://not a bucket!/a.txt", s3_bucket):
        with pytest.raises(StorageError) as caught:
            storage.read(address)
        retryable.append(caught.value.retryable)

    assert retryable == [False, False]


def test_access_denied_is_forbidden(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Status 403 raises Forbidden at once, with the server's reason, and is never taken for a missing object."""
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


def test_a_denied_object_that_a_listing_does_not_show_is_missing(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A server that denies access to missing objects as well is asked for a listing, where that is allowed."""
    storage.create(f"{s3_bucket}/a.txt.gz", b"data")  # its key begins with the missing one
    s3_proxy.rule = lambda _method, path: None if "list-type" in path else (403, "AccessDenied")

    assert storage.identity(f"{s3_bucket}/a.txt") is None
    with pytest.raises(NotFound, match=r"a\.txt: no such object"):
        storage.read(f"{s3_bucket}/a.txt")
    with pytest.raises(Forbidden, match="access denied to s3:GetObject"):
        storage.read(f"{s3_bucket}/a.txt.gz")


def test_without_the_right_to_list_a_denied_object_is_forbidden(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Whether the object exists cannot be known then, which the message says."""
    s3_proxy.rule = lambda _method, _path: (403, "AccessDenied")
    with pytest.raises(Forbidden, match="also says so of an object that does not exist"):
        storage.read(f"{s3_bucket}/a.txt")


def test_credentials_that_expire_before_the_listing_are_named(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Expired credentials are no fault of the object that was asked for first."""
    s3_proxy.rule = lambda _method, path: (400, "ExpiredToken") if "list-type" in path else (403, "AccessDenied")
    with pytest.raises(CredentialsExpired):
        storage.read(f"{s3_bucket}/a.txt")


def test_a_server_that_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    """If nothing responds, the call ends in limited time with a retryable error that contains no secret."""
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


def test_a_single_failure_of_the_server_is_retried(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """One error of the server, one lost response or one response cut short leads to another request."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    read = []
    for fault in ((503, "SlowDown"), (500, "InternalError"), LOSE_ANSWER, CUT_SHORT):
        s3_proxy.faults = [("GET", fault)]
        read.append((storage.read(address) == b"data" * 1000, s3_proxy.faults))

    assert read == [(True, [])] * 4


def test_a_lasting_failure_of_the_server_is_unavailable(s3_bucket: str, s3_proxy: FaultProxy, quick: None) -> None:
    """An overloaded server is given up after a limited number of requests, with a retryable error."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data")
    s3_proxy.requests.clear()
    s3_proxy.faults = [("GET", (503, "ServiceUnavailable"))] * 100

    with pytest.raises(Unavailable) as caught:
        storage.read(address)
    assert caught.value.retryable
    assert 2 <= s3_proxy.requests["GET"] <= 12


def test_a_response_that_is_always_cut_short_is_not_returned(s3_bucket: str, s3_proxy: FaultProxy, quick: None) -> None:
    """`read` returns the whole file or raises an error; it never returns a part of the file."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    s3_proxy.faults = [("GET", CUT_SHORT)] * 100

    with pytest.raises(Unavailable):
        storage.read(address)


def test_a_flipped_bit_is_detected(s3_bucket: str, s3_proxy: FaultProxy, quick: None) -> None:
    """Bytes that do not match S3's checksum raise an error and do not become an image with a wrong colour."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"data" * 1000)
    s3_proxy.faults = [("GET", FLIP_BIT)] * 100

    with pytest.raises(Unavailable):
        storage.read(address)


def test_a_version_id_in_a_key_is_part_of_the_key(s3_bucket: str, tmp_path: Path) -> None:
    """`key?versionId=x`, which s3fs would shorten to `key`, is another object than `key` in every operation."""
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


@pytest.mark.parametrize("ending", [kind.ending for kind in FILE_FORMATS.values()])
def test_an_image_of_any_format_has_a_content_type(ending: str) -> None:
    """A browser shows an image of each output format, because the object says what it is; else it is downloaded."""
    assert content_type(f"s3://bucket/out/images/cat-01234567.{ending}")["ContentType"].startswith("image/")
