"""flows.storage on S3: keys may have any characters and are taken literally in every operation."""

from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows import storage

ODD_LETTERS = "#?%+&=;:@$,'\"()[]{}<>|\\^`~*! ./aZ0éü猫\u0301\u200b\u202e\u2028\ufffd\U0001f469"
KEYS = (
    st.text(st.one_of(st.sampled_from(ODD_LETTERS), st.characters(exclude_categories=("Cs", "Cc"))), min_size=1)
    .filter(lambda key: {".", ".."}.isdisjoint(key.split("/")) and not key.endswith("/"))
    .filter(lambda key: 0 < len(key.encode()) < 900)
)


@pytest.fixture(scope="module")
def client(s3_server: str) -> Any:
    """The S3 API of the server, without any code of this project."""
    return boto3.client("s3", endpoint_url=s3_server)


@pytest.fixture(scope="module")
def bucket(client: Any) -> str:
    """A bucket for unusual keys."""
    client.create_bucket(Bucket="odd-keys")
    return "odd-keys"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
@example(key="a#b?versionId=null&x=%2B+ c//d.png")
@example(key="a/b+c d%20e.png")
def test_any_key_is_the_same_in_every_operation(client: Any, bucket: str, key: str) -> None:
    """An object is stored under exactly its key, and is read, sized, listed and removed by it."""
    address = f"s3://{bucket}/x/{key}"
    storage.replace(address, b"first")
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    version = storage.read_with_version(address)[1]
    swapped = storage.swap(address, version, b"second!")
    created = storage.create(address, b"third")
    identity = storage.identity(address)
    found = storage.fetch(address, identity or "")
    told = (storage.names(storage.parent_of(address)), [one.name for one in storage.tree(f"s3://{bucket}/x")])
    storage.remove(address)
    left = client.list_objects_v2(Bucket=bucket).get("Contents")

    assert keys == [f"x/{key}"]
    assert (swapped, created) == (True, False)
    assert (found.data, found.identity) == (b"second!", identity)
    assert told == ([storage.name_of(address)], [key])
    assert left is None


def test_consecutive_slashes_are_different_folders(client: Any, bucket: str) -> None:
    """`a/b.png`, `a//b.png`, `/a/b.png` and `//b.png` are four objects in four folders."""
    for key in ("a/b.png", "a//b.png", "/a/b.png", "//b.png"):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    root = f"s3://{bucket}"

    assert storage.read(f"{root}/a//b.png") == b"a//b.png"
    assert storage.read(f"{root}//a/b.png") == b"/a/b.png"
    assert [storage.names(f"{root}{folder}") for folder in ("", "/", "//", "/a", "/a/")] == [
        *([], [], ["b.png"], ["b.png"], ["b.png"]),
    ]
    assert [one.name for one in storage.tree(f"{root}/a")] == ["/b.png", "b.png"]
    assert {one.name for one in storage.tree(root)} == {"a/b.png", "a//b.png", "/a/b.png", "//b.png"}
    for key in ("a/b.png", "a//b.png", "/a/b.png", "//b.png"):
        client.delete_object(Bucket=bucket, Key=key)


def test_identities_of_unusual_keys_come_from_a_listing(client: Any, bucket: str) -> None:
    """Many objects of one folder are listed, and each has the same identity as from a request of its own."""
    folder = f"s3://{bucket}/m//?#"
    addresses = [
        f"{folder}/{letter}{n}+ %41.png" for n, letter in enumerate(ODD_LETTERS.replace("/", "").replace(".", ""))
    ]
    storage.each(lambda address: storage.replace(address, address.encode()), addresses)
    alone = {address: storage.identity(address) for address in addresses}

    assert storage.identities([*addresses, f"{folder}/absent.png"]) == alone | {f"{folder}/absent.png": None}
    assert all(alone.values())
