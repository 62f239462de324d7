"""flows.storage.addresses: which addresses are valid, and how they are resolved, joined and split as text."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.errors import NotAllowed
from flows.storage.addresses import check, resolved_address


@pytest.mark.parametrize(
    ("address", "expected"),
    [("s3://bucket/key", True), ("/data/a.png", False), ("s3:/bucket", False), ("a/s3://b", False)],
)
def test_s3_addresses_are_recognised_by_their_prefix(address: str, expected: bool) -> None:
    """An address is on S3 if it begins with s3://; any other is a path."""
    assert storage.is_s3(address) is expected
    assert storage.is_local(address) is not expected


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
        "s3://bucket/key?versionId=1",
        "s3://bucket/key#part",
        "s3://bucket/a::b",
        "s3://bucket//a//b.png",
        "s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/mine/a b.png",
        "s3://mine-abc123-s3alias/a.png",
        f"s3://bucket/{'x' * 1024}",
    ],
)
def test_local_paths_and_plain_s3_addresses_are_valid(address: str) -> None:
    """Any local path is valid, and so is s3://bucket/key with any characters, also with an access point as bucket."""
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
        "s3://bucket/../other/key",
        "s3://bucket/a/..",
        "arn:aws:s3:::bucket/key",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    """Other schemes, chains of schemes, ARNs and keys with `..` raise NotAllowed, which names the address."""
    with pytest.raises(NotAllowed, match=r"expected a local path or s3|takes no") as caught:
        check(address)

    assert str(caught.value).startswith(f"{address}: ")
    assert not caught.value.retryable


HOME, CWD = "/home/somebody", "/here"


@pytest.mark.parametrize(
    ("address", "typed", "cell"),
    [
        # the same for both
        ("a/b.png", "/here/a/b.png", "/data/a/b.png"),
        ("x/../a.png", "/here/a.png", "/data/a.png"),
        ("/abs//a.png", "/abs/a.png", "/abs/a.png"),
        ("x~y", "/here/x~y", "/data/x~y"),
        ("./~/x", "/here/~/x", "/data/~/x"),
        ("c:/x", "/here/c:/x", "/data/c:/x"),
        ("12:30.png", "/here/12:30.png", "/data/12:30.png"),
        ("arn/x.png", "/here/arn/x.png", "/data/arn/x.png"),
        ("s3://b/k.png", "s3://b/k.png", "s3://b/k.png"),
        ("s3://b/a b/..k~1%20.png", "s3://b/a b/..k~1%20.png", "s3://b/a b/..k~1%20.png"),
        ("", None, None),
        ("  ", None, None),
        ("a\0b", None, None),
        ("s3://b/a\0b", None, None),
        ("s3://", None, None),
        ("s3:///k", None, None),
        ("s3://b//k", "s3://b//k", "s3://b//k"),
        ("s3://b/./k", None, None),
        ("s3://b/../k", None, None),
        ("s3://b//", None, None),
        ("s3://b/k//", None, None),
        ("s3://b/a?b", "s3://b/a?b", "s3://b/a?b"),
        ("s3://b/a#b", "s3://b/a#b", "s3://b/a#b"),
        ("s3://b?x/a", None, None),
        ("s3://-b/k", None, None),
        ("s3://key:secret@b/k", None, None),
        ("s3://b/a::b", "s3://b/a::b", "s3://b/a::b"),
        ("S3://b/k", "s3://b/k", "s3://b/k"),
        ("s3:/b/k", None, None),
        ("s3a://b/k", "s3://b/k", "s3://b/k"),
        ("http://x/y", None, None),
        ("file:///x", None, None),
        ("file:x", None, None),
        ("memory://x", None, None),
        ("a::b", None, None),
        ("arn:aws:s3:::b", "s3://b", None),
        ("arn:aws:sqs:::b", None, None),
        ("arn:aws:s3:::b/k", "s3://b/k", "s3://b/k"),
        ("s3://arn:aws:s3:us-east-1:1:accesspoint/p/k", None, None),
        # a command line also names folders, and knows the user's home
        ("~", HOME, None),
        ("~/x", f"{HOME}/x", None),
        ("~nobody-of-this-name/x", "/here/~nobody-of-this-name/x", None),
        ("s3://b", "s3://b", None),
        ("s3://b/", "s3://b", None),
        ("s3://b/k/", "s3://b/k", None),
    ],
)
def test_command_lines_and_cells_accept_the_same_addresses(
    address: str, typed: str | None, cell: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command lines and cells have the same rules, except that a cell names a single file and has no home folder."""
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setattr(os, "getcwd", lambda: CWD)

    assert outcome(storage.absolute, address) == typed
    assert outcome(lambda one: resolved_address(one, "/data"), address) == cell


def outcome(rule: Callable[[str], str], address: str) -> str | None:
    """Return what a rule makes of an address; None if it refuses it."""
    try:
        return rule(address)
    except (NotAllowed, ValueError):
        return None


@pytest.mark.parametrize(
    ("address", "base", "expected"),
    [
        ("../../../a.jpg", "/data", "/a.jpg"),
        ("a#1?.jpg", "/data", "/data/a#1?.jpg"),
        ("C:\\photos\\a.jpg", "/data", "/data/C:\\photos\\a.jpg"),
        ("a.jpg", "/", "/a.jpg"),
        ("a b/ü.jpg", "s3://bucket", "s3://bucket/a b/ü.jpg"),
        ("a.jpg", "s3://bucket/in/", "s3://bucket/in//a.jpg"),
        ("a#1?x.jpg", "s3://bucket/in", "s3://bucket/in/a#1?x.jpg"),
        ("x//a.jpg", "s3://bucket/in", "s3://bucket/in/x//a.jpg"),
        ("x/a.jpg", "s3://bucket/in", "s3://bucket/in/x/a.jpg"),
        ("/photos/a.jpg", "s3://bucket/in", "/photos/a.jpg"),
        ("s3://other/a.jpg", "s3://bucket/in", "s3://other/a.jpg"),
    ],
)
def test_a_relative_cell_starts_from_the_manifests_folder(address: str, base: str, expected: str) -> None:
    """A relative address starts from the base, local or S3; `.` and `..` are resolved in local ones."""
    assert resolved_address(address, base) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "expected a local path or s3://bucket/key, the cell is empty"),
        ("http://b/a.jpg", "expected a local path or s3://bucket/key, got an address that starts with 'http:'"),
        ("data:image/png;base64,AAAA", "'data:'"),
        ("zip://a.jpg::s3://bucket/a.zip", "got a chain of addresses"),
        ("~/a.jpg", "got '~'; write the folder's full path"),
        ("arn:aws:sqs:eu-central-1:123456789012:a.jpg", "got an ARN"),
        ("s3://", "got no bucket"),
        ("s3://bucket", "got no key"),
        ("s3://bucket/", "got no key"),
        ("s3://bucket/x/", "got a folder"),
        ("s3://user:secret@bucket/a.jpg", "something that is no bucket's name"),
        ("s3://bucket/x/../a.jpg", "an S3 key takes no '.' or '..' between slashes"),
        (f"s3://bucket/{'ü' * 513}", "an S3 key has at most 1,024 bytes, got 1,026"),
    ],
)
@pytest.mark.parametrize("base", ["/data", "s3://bucket/in"])
def test_the_refusal_of_a_cell_has_the_reason(address: str, base: str, reason: str) -> None:
    """The message says what was expected and what was found."""
    with pytest.raises(ValueError, match=reason):
        resolved_address(address, base)


@pytest.mark.parametrize("address", ["../a.jpg", "./a.jpg", "x/..", "x/", "http://x/y"])
def test_relative_addresses_on_s3_must_be_valid_keys(address: str) -> None:
    """An address relative to an S3 folder follows the rules of S3 keys."""
    with pytest.raises(ValueError, match=r"an S3 key takes no|got a folder|starts with"):
        resolved_address(address, "s3://bucket/in")


@pytest.mark.parametrize("rule", [check, storage.absolute])
def test_a_refusal_repeats_no_password(rule: Callable[[str], object]) -> None:
    """Text in place of the bucket's name is not repeated in the message, as it may contain a password."""
    with pytest.raises(NotAllowed) as caught:
        rule("s3://key:secret@bucket/a.png")

    assert "secret" not in str(caught.value)


def test_addresses_of_a_command_line_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path starts at the working folder and `~` at home; an S3 prefix loses its last slash."""
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
        ("s3://bucket/out", ("images", "a b.png"), "s3://bucket/out/images/a b.png"),
        ("s3://bucket/out/", ("images", "a.png"), "s3://bucket/out//images/a.png"),
        ("s3://bucket/out", ("/a.png",), "s3://bucket/out//a.png"),
        ("s3://bucket/out", ("images/a.png",), "s3://bucket/out/images/a.png"),
    ],
)
def test_join_puts_a_slash_between_folder_and_file(folder: str, parts: tuple[str, ...], expected: str) -> None:
    """`join` adds one slash between a folder and a name; on S3 it keeps a slash that already ends the folder."""
    assert storage.join(folder, *parts) == expected


@pytest.mark.parametrize(
    ("address", "parent", "name"),
    [
        ("/data/out/a.png", "/data/out", "a.png"),
        ("/a.png", "/", "a.png"),
        ("s3://bucket/out/a b.png", "s3://bucket/out", "a b.png"),
        ("s3://bucket/out//a.png", "s3://bucket/out/", "a.png"),
        ("s3://bucket//a.png", "s3://bucket/", "a.png"),
        ("s3://bucket/a.png", "s3://bucket", "a.png"),
    ],
)
def test_parent_and_name_are_the_parts_that_join_put_together(address: str, parent: str, name: str) -> None:
    """`parent_of` and `name_of` split an address into the parts from which `join` makes it again."""
    assert storage.parent_of(address) == parent
    assert storage.name_of(address) == name
    assert storage.join(parent, name) == address.rstrip(os.sep)
