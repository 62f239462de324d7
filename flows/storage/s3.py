"""Files on S3: whole objects in one request each, created only where none is, through s3fs.

Credentials, region and endpoint come from the environment as for every AWS tool (`AWS_ENDPOINT_URL`, profiles, roles).
Every request goes through `_ask`, which names its errors and tries again what may pass; nothing below it does.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from fsspec.asyn import sync

from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, TooLarge, Unavailable
from flows.storage.codings import decoded
from flows.storage.entries import Entry, Fetched
from flows.storage.places import Places
from flows.storage.retries import object_seconds, persistently
from flows.storage.s3_errors import ALREADY_THERE, NotS3, code_of, named
from flows.storage.spellings import bucket_and_key

Result = TypeVar("Result")

NEVER_AGAIN = {"mode": "standard", "total_max_attempts": 1}
"""For botocore: its tries and those of s3fs would multiply with ours, without a deadline."""
LARGE_FILE_SECONDS = 1800.0
GET, GET_VERSION, PUT, DELETE = "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"
LIST, LIST_VERSIONS = "s3:ListBucket", "s3:ListBucketVersions"
"""What IAM calls the right to a request."""
ETAG = "etag:"
"""What the identities of objects begin with."""
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
}
"""What a browser is to take an object for, by the end of its name: it saves whatever is of no type."""
WORTH_A_LISTING = 20
"""From so many objects of one folder on, listing them is cheaper than asking for each."""


@functools.cache
def _filesystem() -> Any:
    from flows.storage.s3_client import S3  # here, as s3fs takes long to import and most commands need no S3

    filesystem: Any = S3(
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": 5,
            "read_timeout": min(20.0, object_seconds() / 3),
            "max_pool_connections": 32,
            "retries": NEVER_AGAIN,
        },
    )
    filesystem.retries = 1
    filesystem.has_answered = False
    return filesystem


def read(address: str, max_bytes: int | None, seconds: float | None = None, _within: Places | None = None) -> bytes:
    """See `flows.storage.read`. The checksum that S3 keeps is verified; there are no links, so that names say where."""
    return _decoded(address, _ask(address, GET, lambda left: _got(address, max_bytes, left), seconds), max_bytes)


def fetch(address: str, identity: str, max_bytes: int | None, _within: Places | None = None) -> Fetched:
    """See `flows.storage.fetch`. All that is told comes with the bytes, in one answer."""
    got = _ask(address, GET, lambda left: _got(address, max_bytes, left))
    if got.identity != identity and identity.startswith(ETAG):
        got = _as_it_was(address, identity, max_bytes) or got
    data = _decoded(address, got, max_bytes)
    return Fetched(data, hashlib.sha256(data).hexdigest(), got.identity, got.version_id)


def read_with_version(address: str) -> tuple[bytes, str]:
    """See `flows.storage.read_with_version`."""
    got = _ask(address, GET, lambda left: _got(address, None, left))
    return _decoded(address, got, None), got.etag


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
    _ask(address, PUT, lambda left: _put(address, data, left))


def replace_by(address: str, path: str) -> None:
    """See `flows.storage.replace_by`: a large file goes in parts, which are an object once all are there."""
    _ask(address, PUT, lambda left: _filesystem().put_file(path, address, timeout=left), LARGE_FILE_SECONDS)


def copy(source: str, target: str, _within: Places | None = None) -> None:
    """See `flows.storage.copy`: by the server itself."""
    (bucket, key), (target_bucket, target_key) = _split(source), _split(target)
    request = {"Bucket": target_bucket, "Key": target_key, "CopySource": {"Bucket": bucket, "Key": key}}
    _ask(source, f"{GET} and {PUT}", lambda left: _filesystem().call_s3("copy_object", **request, timeout=left))


def remove(address: str) -> None:
    """See `flows.storage.remove`; S3 itself says nothing where there was nothing."""
    bucket, key = _split(address)
    _ask(address, DELETE, lambda left: _filesystem().call_s3("delete_object", Bucket=bucket, Key=key, timeout=left))


def entries(folder: str) -> list[Entry]:
    """See `flows.storage.entries`."""
    return _listed(folder, "/")


def tree(folder: str) -> list[Entry]:
    """See `flows.storage.tree`; what ends with a slash stands for a folder."""
    return [entry for entry in _listed(folder, "") if not entry.name.endswith("/")]


def _listed(folder: str, delimiter: str) -> list[Entry]:
    bucket, prefix = _bucket_and_prefix(folder)
    try:
        pages = list(_pages(bucket, prefix, delimiter=delimiter))
    except NotFound:  # of the bucket
        return []
    found = [entry for page in pages for entry in page if entry.name]
    return sorted(found, key=lambda entry: entry.name)


def identity(address: str, _within: Places | None = None) -> str | None:
    """See `flows.storage.identity`."""
    try:
        found = _ask(address, GET, lambda left: _head(address, left))
    except NotFound:
        return None
    return _identity(found["ETag"], found["ContentLength"])


def identities(addresses: list[str]) -> dict[str, str | None]:
    """The identities of those addresses that a listing of their folder tells; the others are left out."""
    by_folder: dict[str, list[str]] = {}
    for address in addresses:
        by_folder.setdefault(address.rpartition("/")[0], []).append(address)
    told: dict[str, str | None] = {}
    for folder, wanted in by_folder.items():
        if len(wanted) >= WORTH_A_LISTING:
            told |= _listed_identities(folder, wanted)
    return told


def _listed_identities(folder: str, wanted: list[str]) -> dict[str, str | None]:
    try:
        return _identities_below(folder, wanted)
    except CredentialsExpired:
        raise
    except Forbidden:  # one may be allowed to read objects and not to list them
        return {}
    except NotFound:  # of the bucket
        return dict.fromkeys(wanted)


def size(address: str) -> int:
    """See `flows.storage.size`."""
    return int(_ask(address, GET, lambda left: _head(address, left))["ContentLength"])


# ---------------------------------------------------------------- requests


def _ask(address: str, action: str, request: Callable[[float], Result], seconds: float | None = None) -> Result:
    """The answer to a request, made again while that may help; `action` is what IAM calls the right to it."""

    def attempt(left: float) -> Result:
        with named(address, action):
            result = request(left)
        _filesystem().has_answered = True
        return result

    return persistently(
        attempt, lambda: bool(_filesystem.cache_info().currsize and _filesystem().has_answered), seconds
    )


class _Got(NamedTuple):
    """An object as one answer has it: as stored, before any decoding."""

    data: bytes
    etag: str
    content_encoding: str
    version_id: str

    @property
    def identity(self) -> str:
        return _identity(self.etag, len(self.data))


def _got(address: str, max_bytes: int | None, left: float, **version: str) -> _Got:
    """An object, fetched on fsspec's loop, which ends the request when the time is over."""
    got: _Got = sync(_filesystem().loop, _get, address, max_bytes, version, timeout=left)
    return got


async def _get(address: str, max_bytes: int | None, version: dict[str, str]) -> _Got:
    """One request, where `cat_file` makes two; the size is known before the body is read."""
    bucket, key = _split(address)
    answer = _from_s3(await _filesystem()._call_s3("get_object", Bucket=bucket, Key=key, **version))
    with _closed(answer["Body"]) as body:
        if max_bytes is not None and int(answer["ContentLength"]) > max_bytes:
            raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {answer['ContentLength']}")
        version_id = str(answer.get("VersionId") or "")
        # "null" is whatever was written while versioning was off, and may be replaced.
        version_id = "" if version_id == "null" else version_id
        return _Got(await body.read(), str(answer["ETag"]), str(answer.get("ContentEncoding") or ""), version_id)


def _from_s3(answer: Any) -> Any:
    """An answer about an object, which always has an ETag; proxies and sign-in pages answer anything with 200."""
    if not answer.get("ETag"):
        raise NotS3
    return answer


def _decoded(address: str, got: _Got, max_bytes: int | None) -> bytes:
    return decoded(address, got.data, got.content_encoding, max_bytes) if got.content_encoding else got.data


def _as_it_was(address: str, identity: str, max_bytes: int | None) -> _Got | None:
    """An object that was replaced since it had that identity, where its versions are kept and may be read."""
    bucket, key = _split(address)
    asked = {"Bucket": bucket, "Prefix": key}
    try:
        page = _page(address, LIST_VERSIONS, functools.partial(_filesystem().call_s3, "list_object_versions", **asked))
        same = (one for one in page.get("Versions", ()) if one["Key"] == key)
        version = next((one["VersionId"] for one in same if _identity(one["ETag"], one["Size"]) == identity), None)
        if version is not None:
            return _ask(address, GET_VERSION, lambda left: _got(address, max_bytes, left, VersionId=version))
    except CredentialsExpired:
        raise
    except StorageError:  # then it has changed, which whoever planned it is told
        return None
    return None


@contextmanager
def _closed(body: Any) -> Iterator[Any]:
    try:
        yield body
    finally:
        body.close()


def _put(address: str, data: bytes, left: float, **condition: str) -> None:
    bucket, key = _split(address)
    arguments = {"Bucket": bucket, "Key": key, "Body": data, **condition, **_content_type(address)}
    _from_s3(_filesystem().call_s3("put_object", **arguments, timeout=left))


def _put_if(address: str, data: bytes, **condition: str) -> bool:
    def put(left: float) -> bool:
        try:
            _put(address, data, left, **condition)
        except Exception as error:  # s3fs has a different class for the same answer of different servers
            if not isinstance(error, FileExistsError) and code_of(error) not in ALREADY_THERE:
                raise
            return False
        return True

    # The answer to our own write may have been lost and the retry refused: what is there decides.
    return _ask(address, PUT, put) or _holds(address, data)


def _content_type(address: str) -> dict[str, str]:
    kind = CONTENT_TYPES.get(os.path.splitext(address)[1])
    return {} if kind is None else {"ContentType": kind}


def _holds(address: str, data: bytes) -> bool:
    try:
        return read(address, None) == data
    except NotFound as error:  # refused because of another request in flight that came to nothing
        raise Unavailable(f"{address}: the object was being written by somebody else, and is not there") from error


def _head(address: str, left: float) -> Any:
    bucket, key = _split(address)
    try:
        return _from_s3(_filesystem().call_s3("head_object", Bucket=bucket, Key=key, timeout=left))
    except Exception as error:
        if code_of(error) == "400":  # an answer without a body, so without the reason: a GET tells it
            _got(address, None, left)
        raise


def _pages(bucket: str, prefix: str, start_after: str = "", delimiter: str = "/") -> Iterator[list[Entry]]:
    """The objects right below a prefix, page by page; without a delimiter, all below it."""
    more: dict[str, str] = {"StartAfter": start_after} if start_after else {}
    while True:
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter} | more
        request = functools.partial(_filesystem().call_s3, "list_objects_v2", **asked)
        page = _page(f"s3://{bucket}/{prefix}", LIST, request)
        yield [
            Entry(one["Key"][len(prefix) :], str(one["ETag"]), int(one["Size"]), one["LastModified"].timestamp())
            for one in page.get("Contents", ())
        ]
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _page(address: str, action: str, request: Callable[..., Any]) -> Any:
    return _ask(address, action, lambda left: request(timeout=left))


def _identities_below(folder: str, wanted: list[str]) -> dict[str, str | None]:
    """Identities from a listing, as long as it is worth its pages: what is wanted may be few among very many."""
    bucket, prefix = _bucket_and_prefix(folder)
    names = sorted((address.rpartition("/")[2] for address in wanted), key=str.encode)
    found: dict[str, str | None] = {}
    last = ""
    pages = _pages(bucket, prefix, start_after=f"{prefix}{_just_before(names[0])}")
    for number, page in enumerate(pages, start=1):
        found |= {entry.name: _identity(entry.version, entry.size) for entry in page}
        last = max((entry.name for entry in page), key=str.encode, default=last)
        passed = sum(name.encode() <= last.encode() for name in names)
        if passed == len(names) or number > 2 + passed // WORTH_A_LISTING:
            break
    else:
        last = names[-1]
    told = [name for name in names if name.encode() <= last.encode()]
    return {f"{folder}/{name}": found.get(name) for name in told}


def _just_before(name: str) -> str:
    """A name that sorts before another, with next to nothing between."""
    return name[:-1]


def _identity(etag: str, size_bytes: int) -> str:
    return f"{ETAG}{etag.strip(chr(34))}:{size_bytes}"


def _split(address: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(address)
    return bucket, key or ""


def _bucket_and_prefix(folder: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(folder)
    return bucket, "" if key is None else f"{key}/"
