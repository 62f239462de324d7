"""Addresses as text: absolute local paths and `s3://bucket/key`. No I/O."""

import os
import posixpath
import re

from flows.errors import NotAllowed

S3 = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")


def is_s3(address: str) -> bool:
    """Whether an address is on S3."""
    return address.startswith(S3)


def check(address: str) -> None:
    """Refuse what is neither a local path nor a plain `s3://bucket/key`.

    Raises:
        NotAllowed: for another scheme, a chain of schemes, or an address that S3 libraries read in a way of their own.
    """
    if "::" in address or (_SCHEME.match(address) and not is_s3(address)):
        raise NotAllowed(f"{address}: expected a local path or s3://bucket/key")
    bucket = address.removeprefix(S3).partition("/")[0]
    if is_s3(address) and not bucket:
        raise NotAllowed(f"{address}: expected s3://bucket/key, found no bucket")
    if is_s3(address) and not _BUCKET.fullmatch(bucket):  # an ARN leads to another host, a ':' may hold a password
        raise NotAllowed("s3://...: expected s3://bucket/key, found something that is no bucket's name")
    if is_s3(address) and (re.search(r"[?#]", address) or ".." in address.split("/")):
        raise NotAllowed(f"{address}: an S3 address takes no '?', '#' or '..'")


def absolute(address: str) -> str:
    """An address as typed at a command line, made absolute; `~` means home there."""
    check(address)
    return address.rstrip("/") if is_s3(address) else os.path.abspath(os.path.expanduser(address))


def join(folder: str, *parts: str) -> str:
    """An address below a folder."""
    return posixpath.join(folder.rstrip("/"), *parts) if is_s3(folder) else os.path.join(folder, *parts)


def name_of(address: str) -> str:
    """The last part of an address."""
    return address.rstrip("/").rsplit("/", 1)[-1] if is_s3(address) else os.path.basename(address)


def parent_of(address: str) -> str:
    """The folder an address is in."""
    return address.rstrip("/").rsplit("/", 1)[0] if is_s3(address) else os.path.dirname(address)
