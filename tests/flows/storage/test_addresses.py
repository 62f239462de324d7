"""flows.storage.addresses: addresses as text."""

import os
from pathlib import Path

import pytest

from flows import storage
from flows.errors import NotAllowed
from flows.storage.addresses import check


@pytest.mark.parametrize(
    ("address", "expected"),
    [("s3://bucket/key", True), ("/data/a.png", False), ("s3:/bucket", False), ("a/s3://b", False)],
)
def test_s3_addresses_are_told_by_their_start(address: str, expected: bool) -> None:
    """An address is on S3 when it begins with s3://."""
    assert storage.is_s3(address) is expected


@pytest.mark.parametrize(
    "address",
    [
        "/data/a.png",
        "a.png",
        "../a.png",
        "/data/with space/größe #1?.png",
        "C:\\data\\a.png",
        "12:30.png",
        "s3://bucket/key",
        "s3://my.bucket-1/a b/größe+1%20.png",
        "s3://bucket/a..b/~c",
    ],
)
def test_local_paths_and_plain_s3_addresses_pass(address: str) -> None:
    """Any local path, and s3://bucket/key with any letters but ? and #, is allowed."""
    check(address)

    assert storage.name_of(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.png",
        "http://127.0.0.1/a.png",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "S3://bucket/key",
        "s3a://bucket/key",
        "gs://bucket/key",
        "memory://a",
        "local://a",
        "git+ssh://host/a",
        "simplecache::s3://bucket/key",
        "zip://a.png::s3://bucket/a.zip",
        "s3://bucket/a::b",
        "s3://bucket/key?versionId=1",
        "s3://bucket/key#part",
        "s3://bucket/../other/key",
        "s3://bucket/a/..",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    """Other schemes, chains of schemes, and what S3 libraries read in a way of their own are NotAllowed by name."""
    with pytest.raises(NotAllowed, match=r"expected a local path or s3|takes no") as caught:
        check(address)

    assert str(caught.value).startswith(f"{address}: ")
    assert not caught.value.retryable


@pytest.mark.parametrize("address", ["s3://", "s3:///key"])
def test_an_s3_address_needs_a_bucket(address: str) -> None:
    """Without a bucket there is no place on S3, and above all no local folder of the name `s3:`."""
    with pytest.raises(NotAllowed):
        storage.absolute(address)
    with pytest.raises(NotAllowed):
        check(address)


def test_typed_addresses_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path starts at the working directory and ~ at home; an S3 prefix loses its last slash."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")

    assert storage.absolute("out/a.csv") == f"{tmp_path}/out/a.csv"
    assert storage.absolute("./out/../b/") == f"{tmp_path}/b"
    assert storage.absolute("~/out") == "/home/somebody/out"
    assert storage.absolute("/data/out") == "/data/out"
    assert storage.absolute("s3://bucket/out/") == "s3://bucket/out"
    assert storage.absolute("s3://bucket/~/out") == "s3://bucket/~/out"
    with pytest.raises(NotAllowed):
        storage.absolute("https://example.org/out")


@pytest.mark.parametrize(
    ("folder", "parts", "expected"),
    [
        ("/data/out", ("images", "a.png"), "/data/out/images/a.png"),
        ("/data/out/", ("a.png",), "/data/out/a.png"),
        ("/", ("a.png",), "/a.png"),
        ("s3://bucket", ("a.png",), "s3://bucket/a.png"),
        ("s3://bucket/out/", ("images", "a b.png"), "s3://bucket/out/images/a b.png"),
        ("s3://bucket/out", ("images/a.png",), "s3://bucket/out/images/a.png"),
    ],
)
def test_addresses_are_joined(folder: str, parts: tuple[str, ...], expected: str) -> None:
    """`join` puts one slash between a folder and what is below it."""
    assert storage.join(folder, *parts) == expected


@pytest.mark.parametrize(
    ("address", "parent", "name"),
    [
        ("/data/out/a.png", "/data/out", "a.png"),
        ("/a.png", "/", "a.png"),
        ("s3://bucket/out/a b.png", "s3://bucket/out", "a b.png"),
        ("s3://bucket/out/", "s3://bucket", "out"),
        ("s3://bucket/a.png", "s3://bucket", "a.png"),
    ],
)
def test_an_address_is_its_folder_and_its_name(address: str, parent: str, name: str) -> None:
    """parent_of and name_of take an address apart where join put it together."""
    assert storage.parent_of(address) == parent
    assert storage.name_of(address) == name
    assert storage.join(parent, name) == address.rstrip(os.sep)
