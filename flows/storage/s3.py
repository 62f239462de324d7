"""Files on S3: whole objects in one request each, created only where none is, through s3fs.

Credentials, region and endpoint come from the environment as for every AWS tool (`AWS_ENDPOINT_URL`, profiles, roles).
"""

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from flows.errors import Forbidden, NotFound, StorageError, TooLarge, Unavailable

ALREADY_THERE = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
SIGN_IN = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "SSOTokenLoadError",
}


@functools.cache
def _filesystem() -> Any:
    # The defaults of s3fs and botocore multiply: one hanging object would be asked for 125 times over half an hour.
    filesystem = fsspec.filesystem(
        "s3",
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": 5,
            "read_timeout": 20,
            "max_pool_connections": 32,
            "retries": {"mode": "standard", "total_max_attempts": 3},
        },
    )
    filesystem.retries = 2
    return filesystem


def read(address: str, max_bytes: int | None) -> bytes:
    """See `flows.storage.read`. `cat_file` verifies the checksum that S3 keeps; `open` would not."""
    with _named_errors(address):
        if max_bytes is not None:
            size = int(_filesystem().info(address)["size"])
            if size > max_bytes:
                raise TooLarge(f"{address}: expected at most {max_bytes} bytes, found {size}")
        data: bytes = _filesystem().cat_file(address)
        return data


def create(address: str, data: bytes) -> bool:
    """See `flows.storage.create`: PUT with `If-None-Match: *`."""
    if not data:
        raise ValueError("an empty object would be written without the condition")
    try:
        _filesystem().pipe_file(address, data, mode="create")
    except Exception as error:  # s3fs has a different class for the same answer of different servers
        if not isinstance(error, FileExistsError) and _code(error) not in ALREADY_THERE:
            with _named_errors(address):
                raise
        # The answer to our own write may have been lost and the retry refused: what is there decides.
        return _is_there(address, data)
    return True


def _is_there(address: str, data: bytes) -> bool:
    try:
        return read(address, None) == data
    except NotFound as error:  # refused because of another request in flight that came to nothing
        raise Unavailable(f"{address}: the object was being written by somebody else, and is not there") from error


def replace(address: str, data: bytes) -> None:
    """See `flows.storage.replace`: a PUT is atomic."""
    with _named_errors(address):
        _filesystem().pipe_file(address, data)


def remove(address: str) -> None:
    """See `flows.storage.remove`."""
    with _named_errors(address):
        if _filesystem().exists(address):
            _filesystem().rm_file(address)


def names(folder: str) -> list[str]:
    """See `flows.storage.names`."""
    try:
        with _named_errors(folder):
            entries = _filesystem().ls(folder, detail=True)
    except NotFound:
        return []
    found = (entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")
    return sorted(name for name in found if name)


def size(address: str) -> int:
    """See `flows.storage.size`."""
    with _named_errors(address):
        return int(_filesystem().info(address)["size"])


def identity(address: str) -> str | None:
    """See `flows.storage.identity`."""
    try:
        with _named_errors(address):
            info = _filesystem().info(address)
    except NotFound:
        return None
    return f"etag:{str(info.get('ETag', '')).strip(chr(34))}:{info['size']}" if info["type"] == "file" else None


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def _named_errors(address: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise NotFound(f"{address}: no such object") from error
    except PermissionError as error:
        raise Forbidden(f"{address}: access denied ({_code(error) or error})") from error
    except IsADirectoryError as error:
        raise StorageError(f"{address}: expected an object, found a prefix") from error
    except ValueError as error:
        raise StorageError(f"{address}: S3 can have no such address ({error})") from error
    except Exception as error:  # botocore, aiohttp and asyncio raise families of their own; none is an OSError
        if type(error).__name__ in SIGN_IN:
            raise Forbidden(f"{address}: no usable AWS credentials ({error})") from error
        if type(error).__name__ == "ParamValidationError":
            raise StorageError(f"{address}: S3 can have no such address ({error})") from error
        if not _is_from_the_network(error):
            raise
        raise Unavailable(f"{address}: {type(error).__name__}: {error}") from error


def _is_from_the_network(error: Exception) -> bool:
    family = type(error).__module__.split(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or family in (
        "botocore",
        "aiobotocore",
        "aiohttp",
        "fsspec",
    )
