"""Single requests to S3.

Credentials, region and endpoint come from the environment as for every AWS tool (`AWS_ENDPOINT_URL`, profiles, roles).
Every request goes through `ask`, which translates its errors and retries transient ones. The libraries below it do not
retry.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from fsspec.asyn import sync

from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, TooLarge
from flows.storage.retries import object_seconds, persistently
from flows.storage.s3.errors import DeniedOrMissing, NotS3, code_of, named
from flows.storage.spellings import bucket_and_key

Result = TypeVar("Result")

NO_RETRIES = {"mode": "standard", "total_max_attempts": 1}
"""The retry settings for botocore: its retries and those of s3fs would multiply with ours, and ignore our deadline."""

GET, GET_VERSION, PUT, DELETE = "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"
LIST, LIST_VERSIONS = "s3:ListBucket", "s3:ListBucketVersions"
"""The IAM actions that the requests need."""

ETAG = "etag:"
"""The prefix of the identities of objects."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tar": "application/x-tar",
}
"""The Content-Type by the extension of an object's name; without one, a browser downloads it instead of showing it."""


@functools.cache
def filesystem() -> Any:
    """Return the one s3fs file system of the process.

    It has two attributes of ours: `has_answered`, whether any request ever succeeded, and `honours_conditions`, what
    `flows.storage.probe` found out, by bucket.
    """
    from flows.storage.s3.client import S3  # here, as s3fs takes long to import and most commands do not use S3

    created: Any = S3(
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": 5,
            "read_timeout": min(20.0, object_seconds() / 3),
            "max_pool_connections": 32,
            "retries": NO_RETRIES,
        },
    )
    created.retries = 1
    created.has_answered = False
    created.honours_conditions = {}
    return created


def ask(address: str, action: str, request: Callable[[float], Result], seconds: float | None = None) -> Result:
    """Send a request, with retries, and return its response; `action` is the IAM action that it needs.

    A missing object is `NotFound` also on a server that denies access to objects that do not exist.
    """

    def attempt(left: float) -> Result:
        with named(address, action, has_answered=has_answered()):
            result = request(left)
        filesystem().has_answered = True
        return result

    try:
        return persistently(attempt, has_answered, seconds)
    except DeniedOrMissing as error:
        if _is_missing_from_listing(address):
            raise NotFound(f"{address}: no such object (the server denies access, and lists none)") from error
        raise Forbidden(str(error)) from error


def _is_missing_from_listing(address: str) -> bool:
    """Return whether a listing shows that an object does not exist.

    AWS says that an object is missing to whoever may list its key. Some compatible servers say so only to those who may
    list the whole bucket, and deny access to all others.
    """
    bucket, key = split(address)
    try:
        page = list_page(address, LIST, "list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
    except CredentialsExpired:
        raise
    except StorageError:
        return False
    # A key sorts before all longer keys that begin with it.
    return all(one["Key"] != key for one in page.get("Contents", ()))


def has_answered() -> bool:
    """Return whether any request of this process ever succeeded."""
    return bool(filesystem.cache_info().currsize and filesystem().has_answered)


class Stored(NamedTuple):
    """An object from a single response: its bytes as stored, before any decoding."""

    data: bytes
    etag: str
    content_encoding: str
    version_id: str

    @property
    def identity(self) -> str:
        """See `flows.storage.identity`."""
        return identity_of(self.etag, len(self.data))


def get(address: str, max_bytes: int | None, left: float, **version: str) -> Stored:
    """Read an object on fsspec's event loop, which cancels the request after `left` seconds; to be called in `ask`."""
    stored: Stored = sync(filesystem().loop, _get, address, max_bytes, version, timeout=left)
    return stored


async def _get(address: str, max_bytes: int | None, version: dict[str, str]) -> Stored:
    """Read an object in one request, where `cat_file` needs two, and check its size before reading the body."""
    bucket, key = split(address)
    answer = from_s3(await filesystem()._call_s3("get_object", Bucket=bucket, Key=key, **version))
    with _closed(answer["Body"]) as body:
        if max_bytes is not None and int(answer["ContentLength"]) > max_bytes:
            raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {answer['ContentLength']}")
        version_id = str(answer.get("VersionId") or "")
        # The version "null" was written while versioning was off, and may be overwritten.
        version_id = "" if version_id == "null" else version_id
        return Stored(await body.read(), str(answer["ETag"]), str(answer.get("ContentEncoding") or ""), version_id)


def from_s3(answer: Any) -> Any:
    """Check that a response is from S3, whose objects always have an ETag; a proxy or sign-in page may respond 200."""
    if not answer.get("ETag"):
        raise NotS3
    return answer


@contextmanager
def _closed(body: Any) -> Iterator[Any]:
    try:
        yield body
    finally:
        body.close()


def put(address: str, data: bytes, left: float, **condition: str) -> None:
    """Write an object, with the Content-Type for its name, if the condition holds; to be called in `ask`."""
    bucket, key = split(address)
    arguments = {"Bucket": bucket, "Key": key, "Body": data, **condition, **content_type(address)}
    from_s3(filesystem().call_s3("put_object", **arguments, timeout=left))


def content_type(address: str) -> dict[str, str]:
    """Return the argument of a write with the Content-Type for an object's name; none for an unknown ending."""
    kind = CONTENT_TYPES.get(os.path.splitext(address)[1])
    return {} if kind is None else {"ContentType": kind}


def head(address: str, left: float) -> Any:
    """Return the metadata of an object; to be called in `ask`."""
    bucket, key = split(address)
    try:
        return from_s3(filesystem().call_s3("head_object", Bucket=bucket, Key=key, timeout=left))
    except Exception as error:
        if code_of(error) == "400":  # a HEAD response has no body and so no reason: a GET returns it
            get(address, None, left)
        raise


def list_page(address: str, action: str, method: str, **arguments: str | int) -> Any:
    """Return one page of a listing, by the given botocore method with these arguments."""
    return ask(address, action, lambda left: filesystem().call_s3(method, **arguments, timeout=left))


def identity_of(etag: str, size_bytes: int) -> str:
    """See `flows.storage.identity`."""
    return f"{ETAG}{etag.strip(chr(34))}:{size_bytes}"


def split(address: str) -> tuple[str, str]:
    """Split an address into bucket and key; the key of a bucket's address is empty."""
    bucket, key = bucket_and_key(address)
    return bucket, key or ""
