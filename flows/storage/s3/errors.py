"""Errors of S3 requests translated to this project's error classes, which decide whether a request is retried."""

import asyncio
import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flows.errors import Archived, CredentialsExpired, Forbidden, NotFound, StorageError, Unavailable, Unreachable
from flows.storage.s3 import accounts
from flows.storage.spellings import bucket_and_key
from flows.wording import redacted

CONDITION_FAILED = {"PreconditionFailed", "412"}
"""The codes for a write whose condition did not hold."""
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
SIGNED_OUT = {
    "SSOTokenLoadError": "sso login",
    "UnauthorizedSSOTokenError": "sso login",
    "TokenRetrievalError": "sso login",
    "LoginRefreshRequired": "login",
    "LoginTokenLoadError": "login",
    "LoginAuthorizationCodeError": "login",
}
"""Errors of a profile with interactive sign-in, each with the AWS command that renews it."""
UNUSABLE_CREDENTIALS = {
    "PartialCredentialsError",
    "NoAuthTokenError",
    "InvalidConfigError",
    "UnknownCredentialError",
    "MissingDependencyException",
}
WRONG_CONFIGURATION = {"ConfigParseError", "ConfigNotFound"}
WRONG_ADDRESS = {
    "ParamValidationError",
    "InvalidBucketName",
    "KeyTooLongError",
    "InvalidURI",
}
WRONG_REGION = {
    "301",
    "307",
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
NO_CONNECTION = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
TRANSIENT = {
    "RequestTimeout",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "SlowDown",
}
"""Transient errors in spite of an HTTP status that is otherwise permanent."""
TRANSIENT_STATUSES = (408, 409, 425, 429)
MAYBE_MISSING = "; S3 also says so of an object that does not exist, if the credentials may not list the bucket"
NO_CHECKSUMS = "; or the store does not accept checksums: set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
"""A second cause of a wrong signature: over https, botocore sends a write's checksum in a trailer, which some stores do
not know."""
_TLS_REASON = re.compile(r"\[SSL: [A-Z_]+\]([^(\]]+)")


class NotS3(Exception):
    """The server responds, but not like S3."""


class DeniedOrMissing(Forbidden):
    """The server denies access to an object; some give that response for objects that do not exist, too."""


def code_of(error: BaseException) -> str:
    """Return the S3 code of an error, or its HTTP status if the response had no body; empty for other errors."""
    return str(_fields(error).get("Code", ""))


@contextmanager
def named(address: str, action: str, *, has_answered: bool) -> Iterator[None]:
    """Raise errors of the block as a `StorageError` that names the address and contains no secret.

    Args:
        address: the address of the object or folder.
        action: the IAM action that the request needs, such as `s3:GetObject`.
        has_answered: whether an earlier request succeeded, so that the server accepts the credentials.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # botocore, aiohttp and asyncio have error classes of their own, which are no OSErrors
        doubt = NO_CHECKSUMS if has_answered and action == "s3:PutObject" else ""
        known = _of_account(address, error, doubt) or _of_server(address, error) or _of_object(address, action, error)
        if known is None:
            raise
        raise known from error


def _of_account(address: str, error: Exception, doubt: str) -> StorageError | None:
    """Translate an error of the credentials, or of the files that contain them; None for any other error.

    `doubt` is another possible cause of a wrong signature, which the message then has too.
    """
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if kind in SIGNED_OUT:
        return CredentialsExpired(
            f"{address}: nobody is signed in to {accounts.profile()} of {accounts.files()}, or no longer "
            f"({text}). Run `{accounts.login_command(SIGNED_OUT[kind])}`, then again"
        )
    if kind == "CredentialRetrievalError":  # of a credential program, or a container's or role's service
        return CredentialsExpired(
            f"{address}: no AWS credentials, or no longer, {accounts.credentials()} ({text}). Renew them and run again"
        )
    if code in EXPIRED:
        return CredentialsExpired(
            f"{address}: the AWS credentials, {accounts.credentials()}, have expired ({code}). Renew them and run again"
        )
    if kind == "ProfileNotFound":
        return Forbidden(
            f"{address}: no usable AWS credentials: {accounts.profile()} is not in {accounts.files()}; "
            f"{accounts.available_profiles()}"
        )
    if kind == "NoCredentialsError":
        return Forbidden(
            f"{address}: no usable AWS credentials: looked for AWS_ACCESS_KEY_ID in the environment, "
            f"{accounts.profile()} of {accounts.files()}, and a role of this machine"
        )
    if isinstance(error, OSError) and isinstance(error.filename, str):  # S3's own errors name no file
        file = accounts.file_of_this_machine(error.filename)
        return Forbidden(f"{address}: was not asked for: {file} cannot be read ({error.strerror})")
    if kind in UNUSABLE_CREDENTIALS:
        return Forbidden(f"{address}: no usable AWS credentials, {accounts.credentials()} ({text})")
    if kind in WRONG_CONFIGURATION:
        return Forbidden(f"{address}: no usable AWS credentials, as {accounts.files()} cannot be read ({text})")
    if code == "InvalidAccessKeyId":
        return Forbidden(
            f"{address}: access denied, as {accounts.endpoint()} does not know the access key: {accounts.credentials()}"
        )
    if code == "SignatureDoesNotMatch":
        return Forbidden(
            f"{address}: access denied, as the secret key is not the one of the access key: "
            f"{accounts.credentials()}{doubt}"
        )
    if code == "RequestTimeTooSkewed":
        return Forbidden(f"{address}: access denied ({code}): {_skew(_fields(error))}; set this machine's clock")
    return None


def _of_server(address: str, error: Exception) -> StorageError | None:
    """Translate an error of the server, or of the connection to it; None for any other error."""
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if code in WRONG_REGION:
        there = _region(error)
        found = f"is in {there}" if there else "is in another region"
        advice = f"AWS_DEFAULT_REGION={there}" if there else "AWS_DEFAULT_REGION"
        return StorageError(
            f"{address}: the bucket {found}, and {accounts.endpoint()} was asked, "
            f"signed for {accounts.region()}; set {advice}, or an endpoint of that region"
        )
    if isinstance(error, RecursionError):  # of botocore, which follows redirects without a limit
        return StorageError(f"{address}: {accounts.endpoint()} sends every request elsewhere; look at the endpoint")
    if isinstance(error, NotS3) or kind == "ResponseParserError" or _is_a_page(error):
        may_pass = _status(error) >= 500  # a proxy that is out of order, or any page that botocore could not parse
        kind_of_error = Unavailable if may_pass else StorageError
        return kind_of_error(f"{address}: {accounts.endpoint()} answers, but not as S3 does; look at the endpoint")
    if kind == "SSLError":
        return StorageError(f"{address}: {_of_tls(text)}")
    if kind == "HTTPClientError" and isinstance(error.__context__, OSError) and (bundle := accounts.ca_bundle()):
        return StorageError(f"{address}: {bundle} cannot be read ({error.__context__.strerror or error.__context__})")
    if kind in ("InvalidEndpointConfigurationError", "UnsupportedS3ConfigurationError", "InvalidRegionError"):
        return StorageError(f"{address}: cannot be asked of {accounts.endpoint()} ({text})")
    if "credentials encoded in URL" in text:
        return StorageError(f"{address}: {accounts.endpoint()} has a password in it, which does not go with S3's keys")
    if "Invalid endpoint" in text:
        return StorageError(f"{address}: {accounts.endpoint()} is no endpoint; expected http(s)://HOST:PORT")
    if kind in NO_CONNECTION or (isinstance(error, OSError) and error.errno == errno.ECONNREFUSED):
        return Unreachable(f"{address}: no answer from {accounts.endpoint()}: {kind}: {text}")
    return None


def _of_tls(text: str) -> str:
    """Describe a failed TLS handshake, given the text of the error."""
    reason = _TLS_REASON.search(text)
    detail = reason[1].strip() if reason else text
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return f"{accounts.endpoint()} does not speak TLS as it should; look at the endpoint ({detail})"
    bundle = accounts.ca_bundle()
    advice = f"it was checked with {bundle}" if bundle else "a company's own goes into a file that AWS_CA_BUNDLE names"
    return f"the certificate of {accounts.endpoint()} is not trusted; {advice} ({detail})"


def _of_object(address: str, action: str, error: Exception) -> StorageError | None:
    """Translate an error of the object, of the rights to it, or of the network; None for any other error."""
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if code == "InvalidObjectState":
        where = _fields(error).get("AccessTier") or _fields(error).get("StorageClass")
        return Archived(f"{address}: is archived{f' ({where})' if where else ''}; restore it first, then run again")
    if code in WRONG_ADDRESS or kind in WRONG_ADDRESS or isinstance(error, ValueError):
        return StorageError(f"{address}: S3 can have no such address ({text})")
    if code == "NoSuchBucket":
        return NotFound(f"{address}: no such object, as there is no bucket {bucket_and_key(address)[0]!r}")
    if isinstance(error, FileNotFoundError) or code in ("404", "NoSuchKey", "NoSuchVersion"):
        query = "; a '?' and what follows it belong to the key of an s3:// address" if "?versionId=" in address else ""
        return NotFound(f"{address}: no such object{query}")
    if isinstance(error, PermissionError) or code in ("401", "403"):
        message = _fields(error).get("Message")
        reason = f"{code}: {redacted(str(message))}" if message and message != code else code or text
        denied = f"{address}: access denied to {action} ({reason}), with {accounts.credentials()}"
        if action == "s3:GetObject" and code in ("AccessDenied", "403"):
            return DeniedOrMissing(denied + MAYBE_MISSING)
        return Forbidden(denied)
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{address}: expected an object, found a prefix")
    if _is_refused(error):
        return StorageError(
            f"{address}: S3 refuses {action} ({code}: {redacted(str(_fields(error).get('Message') or text))})"
        )
    if _is_from_the_network(error):
        # The time-outs of asyncio and fsspec have no text.
        return Unavailable(f"{address}: {kind}: {text or 'not done within the time that NST_OBJECT_SECONDS allows'}")
    return None


def _fields(error: BaseException) -> Mapping[str, Any]:
    """Return the fields of an S3 error response, such as `Code` and `Message`."""
    fields: Mapping[str, Any] = _response(error).get("Error", {})
    return fields


def _response(error: BaseException) -> Mapping[str, Any]:
    return getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}


def _headers(error: BaseException) -> Mapping[str, str]:
    headers: Mapping[str, str] = _response(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _status(error: BaseException) -> int:
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _text(error: Exception) -> str:
    return redacted(str(error))


def _region(error: Exception) -> str:
    return str(_fields(error).get("Region") or _headers(error).get("x-amz-bucket-region") or "")


def _skew(fields: Mapping[str, Any]) -> str:
    """Describe the difference between the clocks, if the response has both times."""
    try:
        server, request = datetime.fromisoformat(fields["ServerTime"]), datetime.fromisoformat(fields["RequestTime"])
    except (KeyError, ValueError):
        return "the clocks of this machine and of S3 are too far apart"
    seconds = round((request - server).total_seconds())
    return f"this machine's clock is {abs(seconds):,} seconds {'ahead of' if seconds > 0 else 'behind'} that of S3"


def _is_a_page(error: Exception) -> bool:
    """Return whether the response is a web page: S3 itself sends XML, and no body in response to HEAD."""
    is_head = str(getattr(error.__cause__ or error, "operation_name", "")).startswith("Head")
    return not is_head and "text/html" in _headers(error).get("content-type", "")


def _is_refused(error: Exception) -> bool:
    """Return whether the server refused the request for good, so that a retry is pointless."""
    status = _status(error)
    for_good = status == 501 or (400 <= status < 500 and status not in TRANSIENT_STATUSES)
    return for_good and code_of(error) not in TRANSIENT


def _is_from_the_network(error: Exception) -> bool:
    family = type(error).__module__.split(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or family in (
        "botocore",
        "aiobotocore",
        "aiohttp",
        "fsspec",
    )
