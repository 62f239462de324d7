"""The many errors of an S3 request in our few classes: the one place that decides what is worth another try."""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager

from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, Unavailable, Unreachable
from flows.wording import redacted

ALREADY_THERE = {"PreconditionFailed", "412"}
"""A condition was not met."""
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
EXPIRED_CLASSES = {"TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "CredentialRetrievalError"}
SIGN_IN = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoAuthTokenError"}
WRONG_ADDRESS = {
    "ParamValidationError",
    "InvalidBucketName",
    "KeyTooLongError",
    "InvalidURI",
}
NOBODY_ANSWERS = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
HINTS = {"RequestTimeTooSkewed": "; set this machine's clock"}


def code_of(error: BaseException) -> str:
    """S3's own word for an error, or its HTTP status where the answer had no body; empty for other errors."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def named(address: str) -> Iterator[None]:
    """Raise what goes wrong as one of ours, with the address, and without any secret."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # botocore, aiohttp and asyncio raise families of their own; none is an OSError
        known = _classed(address, error)
        if known is None:
            raise
        raise known from error


def _classed(address: str, error: Exception) -> StorageError | None:
    code, kind, text = code_of(error), type(error).__name__, redacted(str(error))
    if code in EXPIRED or kind in EXPIRED_CLASSES:
        return CredentialsExpired(
            f"{address}: the AWS credentials have expired ({code or text}). Renew them and run again"
        )
    if kind in SIGN_IN:
        return Forbidden(f"{address}: no usable AWS credentials ({text})")
    if code in WRONG_ADDRESS or kind in WRONG_ADDRESS or isinstance(error, ValueError):
        return StorageError(f"{address}: S3 can have no such address ({text})")
    if isinstance(error, FileNotFoundError) or code in ("404", "NoSuchKey", "NoSuchBucket"):
        return NotFound(f"{address}: no such object")
    if isinstance(error, PermissionError):
        return Forbidden(f"{address}: access denied ({code or text}){HINTS.get(code, '')}")
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{address}: expected an object, found a prefix")
    if kind in NOBODY_ANSWERS or (isinstance(error, OSError) and error.errno == errno.ECONNREFUSED):
        return Unreachable(f"{address}: no answer: {kind}: {text}")
    if _is_from_the_network(error):
        return Unavailable(f"{address}: {kind}: {text}")
    return None


def _is_from_the_network(error: Exception) -> bool:
    family = type(error).__module__.split(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or family in (
        "botocore",
        "aiobotocore",
        "aiohttp",
        "fsspec",
    )
