"""The many errors of an S3 request in our few classes: the one place that decides what is worth another try."""

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

ALREADY_THERE = {"PreconditionFailed", "412"}
"""A condition was not met."""
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
SIGNED_OUT = {
    "SSOTokenLoadError": "sso login",
    "UnauthorizedSSOTokenError": "sso login",
    "TokenRetrievalError": "sso login",
    "LoginRefreshRequired": "login",
    "LoginTokenLoadError": "login",
    "LoginAuthorizationCodeError": "login",
}
"""Of a profile that a person signs in with: what renews it."""
SIGN_IN = {
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
NOBODY_ANSWERS = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
MAY_PASS = {
    "RequestTimeout",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "OperationAborted",
    "SlowDown",
}
"""Refusals, by their HTTP status, of what may be in order the next time."""
STATUS_MAY_PASS = (408, 409, 425, 429)
UNSEEN = "; it says so too of an object that is not there, to whoever may not list the bucket"
_TLS_REASON = re.compile(r"\[SSL: [A-Z_]+\]([^(\]]+)")


class NotS3(Exception):
    """A server that answers, and not as S3 does."""


def code_of(error: BaseException) -> str:
    """S3's own word for an error, or its HTTP status where the answer had no body; empty for other errors."""
    return str(_told(error).get("Code", ""))


@contextmanager
def named(address: str, action: str) -> Iterator[None]:
    """Raise what goes wrong as one of ours, with the address, and without any secret.

    Args:
        address: of the object or the folder.
        action: what IAM calls the right to the request, such as `s3:GetObject`.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # botocore, aiohttp and asyncio raise families of their own; none is an OSError
        known = _of_account(address, error) or _of_server(address, error) or _of_object(address, action, error)
        if known is None:
            raise
        raise known from error


def _of_account(address: str, error: Exception) -> StorageError | None:
    """What is wrong with the credentials, or with the files that they are in."""
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if kind in SIGNED_OUT:
        return CredentialsExpired(
            f"{address}: nobody is signed in to {accounts.profile_named()} of {accounts.files()}, or no longer "
            f"({text}). Run `{accounts.login(SIGNED_OUT[kind])}`, then again"
        )
    if kind == "CredentialRetrievalError":  # of a program, a container's or a role's service, which gave some before
        return CredentialsExpired(
            f"{address}: no AWS credentials, or no longer, {accounts.whose()} ({text}). Renew them and run again"
        )
    if code in EXPIRED:
        return CredentialsExpired(
            f"{address}: the AWS credentials, {accounts.whose()}, have expired ({code}). Renew them and run again"
        )
    if kind == "ProfileNotFound":
        return Forbidden(
            f"{address}: no usable AWS credentials: {accounts.profile_named()} is not in {accounts.files()}; "
            f"{accounts.profiles_there()}"
        )
    if kind == "NoCredentialsError":
        return Forbidden(
            f"{address}: no usable AWS credentials: looked for AWS_ACCESS_KEY_ID in the environment, "
            f"{accounts.profile_named()} of {accounts.files()}, and a role of this machine"
        )
    if kind in SIGN_IN:
        return Forbidden(f"{address}: no usable AWS credentials, {accounts.whose()} ({text})")
    if kind in WRONG_CONFIGURATION:
        return Forbidden(f"{address}: no usable AWS credentials, as {accounts.files()} cannot be read ({text})")
    if code == "InvalidAccessKeyId":
        return Forbidden(
            f"{address}: access denied, as {accounts.endpoint()} does not know the access key: {accounts.whose()}"
        )
    if code == "SignatureDoesNotMatch":
        return Forbidden(
            f"{address}: access denied, as the secret key is not the one of the access key: {accounts.whose()}"
        )
    if code == "RequestTimeTooSkewed":
        return Forbidden(f"{address}: access denied ({code}): {_skew(_told(error))}; set this machine's clock")
    return None


def _of_server(address: str, error: Exception) -> StorageError | None:
    """What is wrong with the server, or with the way to it."""
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if code in WRONG_REGION:
        there = _region(error)
        found = f"is in {there}" if there else "is in another region"
        advice = f"AWS_DEFAULT_REGION={there}" if there else "AWS_DEFAULT_REGION"
        return StorageError(
            f"{address}: the bucket {found}, and {accounts.endpoint()} was asked, "
            f"signed for {accounts.region()}; set {advice}, or an endpoint of that region"
        )
    if isinstance(error, RecursionError):  # botocore's, which asks where to go until it falls over
        return StorageError(f"{address}: {accounts.endpoint()} sends every request elsewhere; look at the endpoint")
    if isinstance(error, NotS3) or kind == "ResponseParserError" or _is_a_page(error):
        may_pass = _status(error) >= 500  # a proxy that is out of order, or botocore's word for any page
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
    if kind in NOBODY_ANSWERS or (isinstance(error, OSError) and error.errno == errno.ECONNREFUSED):
        return Unreachable(f"{address}: no answer from {accounts.endpoint()}: {kind}: {text}")
    return None


def _of_tls(text: str) -> str:
    reason = _TLS_REASON.search(text)
    told = reason[1].strip() if reason else text
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return f"{accounts.endpoint()} does not speak TLS as it should; look at the endpoint ({told})"
    bundle = accounts.ca_bundle()
    advice = f"it was checked with {bundle}" if bundle else "a company's own goes into a file that AWS_CA_BUNDLE names"
    return f"the certificate of {accounts.endpoint()} is not trusted; {advice} ({told})"


def _of_object(address: str, action: str, error: Exception) -> StorageError | None:
    """What is wrong with the object, the rights to it, or just now."""
    code, kind, text = code_of(error), type(error).__name__, _text(error)
    if code == "InvalidObjectState":
        where = _told(error).get("AccessTier") or _told(error).get("StorageClass")
        return Archived(f"{address}: is archived{f' ({where})' if where else ''}; restore it first, then run again")
    if code in WRONG_ADDRESS or kind in WRONG_ADDRESS or isinstance(error, ValueError):
        return StorageError(f"{address}: S3 can have no such address ({text})")
    if code == "NoSuchBucket":
        return NotFound(f"{address}: no such object, as there is no bucket {bucket_and_key(address)[0]!r}")
    if isinstance(error, FileNotFoundError) or code in ("404", "NoSuchKey", "NoSuchVersion"):
        query = "; a '?' and what follows it belong to the key of an s3:// address" if "?versionId=" in address else ""
        return NotFound(f"{address}: no such object{query}")
    if isinstance(error, PermissionError) or code in ("401", "403"):
        said = _told(error).get("Message")
        reason = f"{code}: {redacted(str(said))}" if said and said != code else code or text
        doubt = UNSEEN if action == "s3:GetObject" and code in ("AccessDenied", "403") else ""
        return Forbidden(f"{address}: access denied to {action} ({reason}), with {accounts.whose()}{doubt}")
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{address}: expected an object, found a prefix")
    if _is_refused(error):
        return StorageError(
            f"{address}: S3 refuses {action} ({code}: {redacted(str(_told(error).get('Message') or text))})"
        )
    if _is_from_the_network(error):
        return Unavailable(f"{address}: {kind}: {text}")
    return None


def _told(error: BaseException) -> Mapping[str, Any]:
    """S3's own words about an error."""
    told: Mapping[str, Any] = _response(error).get("Error", {})
    return told


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
    return str(_told(error).get("Region") or _headers(error).get("x-amz-bucket-region") or "")


def _skew(told: Mapping[str, Any]) -> str:
    """How far the clocks are apart, where the server told both times."""
    try:
        server, request = datetime.fromisoformat(told["ServerTime"]), _time_of_request(told["RequestTime"])
    except (KeyError, ValueError):
        return "the clocks of this machine and of S3 are too far apart"
    seconds = round((request - server).total_seconds())
    return f"this machine's clock is {abs(seconds):,} seconds {'ahead of' if seconds > 0 else 'behind'} that of S3"


def _time_of_request(text: str) -> datetime:
    """As it was signed: basic ISO 8601."""
    return datetime.fromisoformat(text)


def _is_a_page(error: Exception) -> bool:
    """S3 speaks XML, but where there is no body."""
    is_head = str(getattr(error.__cause__ or error, "operation_name", "")).startswith("Head")
    return not is_head and "text/html" in _headers(error).get("content-type", "")


def _is_refused(error: Exception) -> bool:
    status = _status(error)
    for_good = status == 501 or (400 <= status < 500 and status not in STATUS_MAY_PASS)
    return for_good and code_of(error) not in MAY_PASS


def _is_from_the_network(error: Exception) -> bool:
    family = type(error).__module__.split(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or family in (
        "botocore",
        "aiobotocore",
        "aiohttp",
        "fsspec",
    )
