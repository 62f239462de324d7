"""The functions on single S3 objects; writes with a condition make them safe between concurrent writers."""

import hashlib

from flows.errors import CredentialsExpired, NotFound, StorageError, Unavailable
from flows.storage.addresses import name_of
from flows.storage.codings import decoded
from flows.storage.entry import Entry, Fetched
from flows.storage.places import Places
from flows.storage.s3.errors import CONDITION_FAILED, code_of
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
from flows.storage.s3.uploads import put_file

LARGE_FILE_SECONDS = 1800.0
"""The deadline of a file that is uploaded in parts."""
NO_CONDITION = (
    "its store ignores the condition of a write (If-None-Match): one run at a time is safe; of two runs on several "
    "machines, each may make the same pair, and the later record stands, whole"
)


def read(address: str, max_bytes: int | None, seconds: float | None = None, _within: Places | None = None) -> bytes:
    """See `flows.storage.read`. The checksum that S3 keeps is verified; S3 has no links to check."""
    return _decoded(address, ask(address, GET, lambda left: get(address, max_bytes, left), seconds), max_bytes)


def fetch(address: str, identity: str, max_bytes: int | None, _within: Places | None = None) -> Fetched:
    """See `flows.storage.fetch`. The bytes, identity and version id come from a single response."""
    stored = ask(address, GET, lambda left: get(address, max_bytes, left))
    if stored.identity != identity and identity.startswith(ETAG):
        stored = _earlier_version(address, identity, max_bytes) or stored
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
    """See `flows.storage.replace_by`: a large file is uploaded in parts, an object once all have arrived."""
    ask(address, PUT, lambda left: put_file(address, path, left), LARGE_FILE_SECONDS)


def copy(source: str, target: str, _within: Places | None = None) -> None:
    """See `flows.storage.copy`: the server itself copies."""
    (bucket, key), (target_bucket, target_key) = split(source), split(target)
    request = {"Bucket": target_bucket, "Key": target_key, "CopySource": {"Bucket": bucket, "Key": key}}
    ask(source, f"{GET} and {PUT}", lambda left: filesystem().call_s3("copy_object", **request, timeout=left))


def remove(address: str) -> None:
    """See `flows.storage.remove`; S3 raises no error for an object that does not exist."""
    bucket, key = split(address)
    ask(address, DELETE, lambda left: filesystem().call_s3("delete_object", Bucket=bucket, Key=key, timeout=left))


def identity(address: str, _within: Places | None = None) -> str | None:
    """See `flows.storage.identity`."""
    try:
        found = ask(address, GET, lambda left: head(address, left))
    except NotFound:
        return None
    return identity_of(found["ETag"], found["ContentLength"])


def entry_of(address: str) -> Entry | None:
    """See `flows.storage.entry_of`."""
    try:
        found = ask(address, GET, lambda left: head(address, left))
    except NotFound:
        return None
    modified = found["LastModified"].timestamp()
    return Entry(name_of(address), str(found["ETag"]), int(found["ContentLength"]), modified)


def size(address: str) -> int:
    """See `flows.storage.size`."""
    return int(ask(address, GET, lambda left: head(address, left))["ContentLength"])


def probe(address: str, data: bytes) -> None:
    """See `flows.storage.probe`. A retry after a lost response is refused too, so it has the same result."""
    bucket, _ = split(address)
    if bucket not in filesystem().honours_conditions:
        filesystem().honours_conditions[bucket] = not _is_written(address, data, IfNoneMatch="*")


def shortfalls(folder: str) -> list[str]:
    """See `flows.storage.shortfalls`: what probes of the folder's bucket have found."""
    bucket, _ = split(folder)
    return [] if filesystem().honours_conditions.get(bucket, True) else [NO_CONDITION]


def _decoded(address: str, stored: Stored, max_bytes: int | None) -> bytes:
    if not stored.content_encoding:
        return stored.data
    return decoded(address, stored.data, stored.content_encoding, max_bytes)


def _earlier_version(address: str, identity: str, max_bytes: int | None) -> Stored | None:
    """Return the version of an object that has that identity, if the bucket keeps versions and we may read them."""
    bucket, key = split(address)
    try:
        page = list_page(address, LIST_VERSIONS, "list_object_versions", Bucket=bucket, Prefix=key)
        same = (one for one in page.get("Versions", ()) if one["Key"] == key)
        version = next((one["VersionId"] for one in same if identity_of(one["ETag"], one["Size"]) == identity), None)
        if version is not None:
            return ask(address, GET_VERSION, lambda left: get(address, max_bytes, left, VersionId=version))
    except CredentialsExpired:
        raise
    except StorageError:  # the caller sees from the other identity that the object has changed
        return None
    return None


def _put_if(address: str, data: bytes, **condition: str) -> bool:
    """Write an object if the condition holds; return False if another writer's bytes are stored."""
    # The response to our own write may have been lost and the retry refused: the stored bytes decide.
    return _is_written(address, data, **condition) or _holds(address, data)


def _is_written(address: str, data: bytes, **condition: str) -> bool:
    """Write an object; return False if the server refuses because the condition does not hold."""

    def attempt(left: float) -> bool:
        try:
            put(address, data, left, **condition)
        except Exception as error:  # s3fs raises different classes for the same response of different servers
            if not isinstance(error, FileExistsError) and code_of(error) not in CONDITION_FAILED:
                raise
            return False
        return True

    return ask(address, PUT, attempt)


def _holds(address: str, data: bytes) -> bool:
    """Return whether an object exists with exactly these bytes."""
    try:
        return read(address, None) == data
    except NotFound as error:  # refused because of a concurrent request, which failed in the end
        raise Unavailable(f"{address}: the object was being written by somebody else, and is not there") from error
