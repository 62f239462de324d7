"""Files on S3: whole objects in one request each, created only where none is, through s3fs.

requests  single requests, and `ask`, which names their errors and tries again what may pass
listings  many objects in few requests
errors    the many errors of a request in our few classes
accounts  whose credentials a request carries, in words
client    s3fs as it is used here
"""

import hashlib

from flows.errors import CredentialsExpired, NotFound, StorageError, Unavailable
from flows.storage.codings import decoded
from flows.storage.entries import Fetched
from flows.storage.places import Places
from flows.storage.s3.errors import ALREADY_THERE, code_of
from flows.storage.s3.listings import entries, identities, tree
from flows.storage.s3.requests import (
    DELETE,
    ETAG,
    GET,
    GET_VERSION,
    LIST_VERSIONS,
    PUT,
    Stored,
    ask,
    filesystem,
    get,
    head,
    identity_of,
    list_page,
    put,
    split,
)

__all__ = [
    "copy",
    "create",
    "entries",
    "fetch",
    "identities",
    "identity",
    "read",
    "read_with_version",
    "remove",
    "replace",
    "replace_by",
    "size",
    "swap",
    "tree",
]

LARGE_FILE_SECONDS = 1800.0
"""For a file that goes in parts."""


def read(address: str, max_bytes: int | None, seconds: float | None = None, _within: Places | None = None) -> bytes:
    """See `flows.storage.read`. The checksum that S3 keeps is verified; there are no links, so that names say where."""
    return _decoded(address, ask(address, GET, lambda left: get(address, max_bytes, left), seconds), max_bytes)


def fetch(address: str, identity: str, max_bytes: int | None, _within: Places | None = None) -> Fetched:
    """See `flows.storage.fetch`. All that is told comes with the bytes, in one answer."""
    stored = ask(address, GET, lambda left: get(address, max_bytes, left))
    if stored.identity != identity and identity.startswith(ETAG):
        stored = _as_it_was(address, identity, max_bytes) or stored
    data = _decoded(address, stored, max_bytes)
    return Fetched(data, hashlib.sha256(data).hexdigest(), stored.identity, stored.version_id)


def read_with_version(address: str) -> tuple[bytes, str]:
    """See `flows.storage.read_with_version`."""
    stored = ask(address, GET, lambda left: get(address, None, left))
    return _decoded(address, stored, None), stored.etag


def create(address: str, data: bytes) -> bool:
    """See `flows.storage.create`: PUT with `If-None-Match: *`."""
    if not data:
        raise ValueError("an empty object would be written without the condition")
    return _put_if(address, data, IfNoneMatch="*")


def swap(address: str, version: str, data: bytes) -> bool:
    """See `flows.storage.swap`: PUT with `If-Match`."""
    return _put_if(address, data, IfMatch=version)


def replace(address: str, data: bytes) -> None:
    """See `flows.storage.replace`: a PUT is atomic."""
    ask(address, PUT, lambda left: put(address, data, left))


def replace_by(address: str, path: str) -> None:
    """See `flows.storage.replace_by`: a large file goes in parts, which are an object once all are there."""
    ask(address, PUT, lambda left: filesystem().put_file(path, address, timeout=left), LARGE_FILE_SECONDS)


def copy(source: str, target: str, _within: Places | None = None) -> None:
    """See `flows.storage.copy`: by the server itself."""
    (bucket, key), (target_bucket, target_key) = split(source), split(target)
    request = {"Bucket": target_bucket, "Key": target_key, "CopySource": {"Bucket": bucket, "Key": key}}
    ask(source, f"{GET} and {PUT}", lambda left: filesystem().call_s3("copy_object", **request, timeout=left))


def remove(address: str) -> None:
    """See `flows.storage.remove`; S3 itself says nothing where there was nothing."""
    bucket, key = split(address)
    ask(address, DELETE, lambda left: filesystem().call_s3("delete_object", Bucket=bucket, Key=key, timeout=left))


def identity(address: str, _within: Places | None = None) -> str | None:
    """See `flows.storage.identity`."""
    try:
        found = ask(address, GET, lambda left: head(address, left))
    except NotFound:
        return None
    return identity_of(found["ETag"], found["ContentLength"])


def size(address: str) -> int:
    """See `flows.storage.size`."""
    return int(ask(address, GET, lambda left: head(address, left))["ContentLength"])


def _decoded(address: str, stored: Stored, max_bytes: int | None) -> bytes:
    if not stored.content_encoding:
        return stored.data
    return decoded(address, stored.data, stored.content_encoding, max_bytes)


def _as_it_was(address: str, identity: str, max_bytes: int | None) -> Stored | None:
    """An object that was replaced since it had that identity, where its versions are kept and may be read."""
    bucket, key = split(address)
    try:
        page = list_page(address, LIST_VERSIONS, "list_object_versions", Bucket=bucket, Prefix=key)
        same = (one for one in page.get("Versions", ()) if one["Key"] == key)
        version = next((one["VersionId"] for one in same if identity_of(one["ETag"], one["Size"]) == identity), None)
        if version is not None:
            return ask(address, GET_VERSION, lambda left: get(address, max_bytes, left, VersionId=version))
    except CredentialsExpired:
        raise
    except StorageError:  # then it has changed, which whoever planned it is told
        return None
    return None


def _put_if(address: str, data: bytes, **condition: str) -> bool:
    def attempt(left: float) -> bool:
        try:
            put(address, data, left, **condition)
        except Exception as error:  # s3fs has a different class for the same answer of different servers
            if not isinstance(error, FileExistsError) and code_of(error) not in ALREADY_THERE:
                raise
            return False
        return True

    # The answer to our own write may have been lost and the retry refused: what is there decides.
    return ask(address, PUT, attempt) or _holds(address, data)


def _holds(address: str, data: bytes) -> bool:
    try:
        return read(address, None) == data
    except NotFound as error:  # refused because of another request in flight that came to nothing
        raise Unavailable(f"{address}: the object was being written by somebody else, and is not there") from error
