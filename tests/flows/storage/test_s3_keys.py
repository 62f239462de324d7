"""flows.storage on S3: keys of any letters, taken letter by letter in every operation."""

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
    """The server's own API, past everything of ours."""
    return boto3.client("s3", endpoint_url=s3_server)


@pytest.fixture(scope="module")
def bucket(client: Any) -> str:
    client.create_bucket(Bucket="odd-keys")
    return "odd-keys"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
@example(key="a#b?versionId=null&x=%2B+ c//d.png")
@example(key="a/b+c d%20e.png")
def test_a_key_is_an_objects_whole_name(client: Any, bucket: str, key: str) -> None:
    """What we write is what the server has under just that key, and is read, sized, listed and removed under it."""
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


def test_slashes_side_by_side_make_folders_of_their_own(client: Any, bucket: str) -> None:
    """`a/b`, `a//b` and `/a/b` are three objects in three folders."""
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


def test_many_odd_keys_are_told_from_one_listing(client: Any, bucket: str) -> None:
    """From so many of one folder on they are listed: each has the identity that asking for it alone gives."""
    folder = f"s3://{bucket}/m//?#"
    addresses = [
        f"{folder}/{letter}{n}+ %41.png" for n, letter in enumerate(ODD_LETTERS.replace("/", "").replace(".", ""))
    ]
    storage.each(lambda address: storage.replace(address, address.encode()), addresses)
    alone = {address: storage.identity(address) for address in addresses}

    assert storage.identities([*addresses, f"{folder}/absent.png"]) == alone | {f"{folder}/absent.png": None}
    assert all(alone.values())
