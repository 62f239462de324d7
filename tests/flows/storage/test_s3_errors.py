"""flows.storage.s3.errors and accounts: messages on problems with accounts, configuration files and servers.

Botocore reads the credentials from real files, and the servers are real ones on loopback.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from flows import storage
from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, Unavailable, Unreachable
from flows.storage import s3
from flows.storage.s3.errors import named
from tests.flows.s3_peer import Answer, Request, S3Peer, an_object, refusal

A = "s3://studio/in/a.png"
Peer = Callable[..., S3Peer]
ReadAtHome = Callable[..., str]


CONFIG = """
[default]
region = eu-west-1
[profile corp]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = dev
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.invalid/start
sso_region = eu-west-1
[profile before]
sso_start_url = https://corp.invalid/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = dev
[profile half]
aws_access_key_id = AKIAHALF
[profile program]
credential_process = /bin/false
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = gone
[profile minio]
endpoint_url = http://127.0.0.1:9
[profile services]
services = here
[services here]
s3 =
  endpoint_url = http://127.0.0.1:9
"""
CREDENTIALS = "".join(
    f"[{name}]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = recognisable-secret\n"
    for name in ("other", "minio", "services")
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with AWS's two configuration files."""
    (tmp_path / ".aws" / "sso" / "cache").mkdir(parents=True)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    return tmp_path


FORKING_READER = """
import json, os, sys
import flows.storage.s3.client  # its import takes long
from flows import storage
from flows.errors import StorageError
from flows.storage import retries
retries.FIRST_CONTACT_SECONDS = 0  # one attempt is enough for a server that does not respond
for line in sys.stdin:
    request = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.environ.clear()
    os.environ.update(request["environment"])
    for descriptor, path in enumerate(request["output"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    try:
        print("read", storage.read("s3://studio/in/a.png"), flush=True)
    except StorageError as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
"""
"""For each line of its input, reads an object in a fork of its own with a given environment."""


@pytest.fixture(scope="module")
def forking_reader() -> Iterator["subprocess.Popen[str]"]:
    """A process that has imported the S3 client, so that a new process for each read takes little time."""
    command = [sys.executable, "-c", FORKING_READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.fixture
def read_at_home(home: Path, forking_reader: "subprocess.Popen[str]") -> ReadAtHome:
    """Return a function that reads an object as a user with that home, and returns what is printed."""

    def read(**environment: str) -> str:
        settings = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
        output = [home / "stdout", home / "stderr"]
        request = {"environment": settings | environment, "output": list(map(str, output))}
        assert forking_reader.stdin and forking_reader.stdout
        forking_reader.stdin.write(json.dumps(request) + "\n")
        forking_reader.stdin.flush()
        assert forking_reader.stdout.readline() == "0\n", output[1].read_text()
        printed, logged = (path.read_text() for path in output)
        assert "recognisable-secret" not in printed + logged
        assert all("trying again" in line for line in logged.splitlines()), logged
        return printed.strip()

    return read


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("", "Forbidden {a}: no usable AWS credentials: looked for AWS_ACCESS_KEY_ID in the environment, profile "
         "'default' of {files}, and a role of this machine"),
        ("gone", "Forbidden {a}: no usable AWS credentials: profile 'gone' (AWS_PROFILE) is not in {files}; there are "
         "'before', 'corp', 'default', 'half', 'minio', 'other', 'program', 'role', 'services'"),
        ("half", "Forbidden {a}: no usable AWS credentials, profile 'half' (AWS_PROFILE) of {files} (Partial "
         "credentials found in config-file, missing: aws_secret_access_key)"),
        ("role", "Forbidden {a}: no usable AWS credentials, profile 'role' (AWS_PROFILE) of {files} (The "
         'source_profile "gone" referenced in the profile "role" does not exist.)'),
        ("program", "CredentialsExpired {a}: no AWS credentials, or no longer, profile 'program' (AWS_PROFILE) of "
         "{files} (Error when retrieving credentials from custom-process: ). Renew them and run again"),
        ("corp", "CredentialsExpired {a}: nobody is signed in to profile 'corp' (AWS_PROFILE) of {files}, or no longer "
         "(Error loading SSO Token: Token for corp does not exist). Run `aws sso login --profile corp`, then again"),
        ("before", "CredentialsExpired {a}: nobody is signed in to profile 'before' (AWS_PROFILE) of {files}, or no "
         "longer (Error loading SSO Token: Token for https://corp.invalid/start does not exist). "
         "Run `aws sso login --profile before`, then again"),
        ("minio", "Unreachable {a}: no answer from http://127.0.0.1:9 (endpoint_url, profile 'minio' (AWS_PROFILE) of "
         '{files}): EndpointConnectionError: Could not connect to the endpoint URL: "http://127.0.0.1:9/studio/in/a.png"'),
        ("services", "Unreachable {a}: no answer from http://127.0.0.1:9 (endpoint_url, [services here] of {files}): "
         'EndpointConnectionError: Could not connect to the endpoint URL: "http://127.0.0.1:9/studio/in/a.png"'),
    ],
)  # fmt: skip
def test_the_message_on_an_unusable_profile_says_why(
    home: Path, read_at_home: ReadAtHome, profile: str, says: str
) -> None:
    """One line names the profile, the setting that selected it, the files that were read, and what to do."""
    files = f"{home}/.aws/config and {home}/.aws/credentials"
    last = read_at_home(**({"AWS_PROFILE": profile} if profile else {})).splitlines()[-1]

    assert last == says.format(a=A, files=files)


@pytest.mark.parametrize("profile", ["corp", "before"])
def test_the_message_on_an_expired_sign_in_has_the_command(home: Path, read_at_home: ReadAtHome, profile: str) -> None:
    """The message has the sign-in command for exactly this profile."""
    for start in ("corp", "https://corp.invalid/start"):
        name = hashlib.sha1(start.encode()).hexdigest()
        token = {"startUrl": "https://corp.invalid/start", "region": "eu-west-1", "accessToken": "recognisable-secret"}
        (home / ".aws" / "sso" / "cache" / f"{name}.json").write_text(
            json.dumps(token | {"expiresAt": "2020-01-01T00:00:00Z"})
        )
    said = read_at_home(AWS_DEFAULT_PROFILE=profile)

    assert said.startswith(f"CredentialsExpired {A}: nobody is signed in to profile {profile!r} (AWS_DEFAULT_PROFILE)")
    assert "expired" in said
    assert said.endswith(f"Run `aws sso login --profile {profile}`, then again")


def test_an_early_renewal_that_failed_is_logged_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Botocore renews credentials before they expire and logs a warning if that fails; its traceback is dropped."""
    with pytest.raises(StorageError) as caught:
        storage.read("s3://studio/none.png", seconds=0.1)
    logging.getLogger("aiobotocore.credentials").warning("failed during advisory refresh", exc_info=caught.value)

    assert "failed during advisory refresh" in caplog.text
    assert "Traceback" not in caplog.text


def test_other_configuration_files_are_named(read_at_home: ReadAtHome) -> None:
    """The message names the files of AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, and says if they are missing."""
    said = read_at_home(AWS_PROFILE="x", AWS_CONFIG_FILE="/gone/config", AWS_SHARED_CREDENTIALS_FILE="/gone/keys")

    assert "is not in /gone/config (not there) and /gone/keys (not there); there are none" in said


def test_a_missing_token_is_not_a_missing_object(read_at_home: ReadAtHome) -> None:
    """A token that a cluster did not give to this process is named with its variable; the object may well exist."""
    said = read_at_home(AWS_WEB_IDENTITY_TOKEN_FILE="/gone/token", AWS_ROLE_ARN="arn:aws:iam::1:role/x")

    assert said == (
        f"Forbidden {A}: was not asked for: /gone/token of this machine (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read "
        "(No such file or directory)"
    )


def test_an_unusable_bundle_of_the_requests_library_is_named(read_at_home: ReadAtHome) -> None:
    """The certificates of REQUESTS_CA_BUNDLE count for S3 too, and are named if they cannot be read."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "recognisable-secret"}
    said = read_at_home(REQUESTS_CA_BUNDLE="/gone.pem", AWS_ENDPOINT_URL="https://127.0.0.1:9", **keys)

    assert said.endswith("/gone.pem (REQUESTS_CA_BUNDLE) cannot be read (No such file or directory)")


def test_an_invalid_configuration_file_is_named(home: Path, read_at_home: ReadAtHome) -> None:
    """A configuration file that cannot be parsed is named in the message."""
    (home / ".aws" / "config").write_text("nonsense [\n")

    said = read_at_home()

    assert f"{home}/.aws/config" in said
    assert "cannot be read (Unable to parse config file" in said


def test_a_valid_profile_and_its_endpoint_are_used(home: Path, read_at_home: ReadAtHome, peer: Peer) -> None:
    """The endpoint of a services section takes precedence over that of a profile, and the environment's over both."""
    there = peer(lambda _: an_object(b"data"))
    text = (home / ".aws" / "config").read_text()
    service = text.replace("[profile services]", "[profile services]\nendpoint_url = http://127.0.0.1:1", 1)
    head, _, tail = service.partition("[services here]")
    (home / ".aws" / "config").write_text(f"{head}[services here]{tail.replace('http://127.0.0.1:9', there.url)}")

    assert read_at_home(AWS_PROFILE="services") == "read b'data'"
    assert "Credential=AKIAOTHER/" in there.requests[0].headers["authorization"]
    assert read_at_home(AWS_PROFILE="minio", AWS_ENDPOINT_URL_S3=there.url) == "read b'data'"
    assert read_at_home(AWS_PROFILE="other", AWS_ENDPOINT_URL=there.url) == "read b'data'"


# ---------------------------------------------------------------- servers

SKEW = ("<RequestTime>20260101T100000Z</RequestTime>", "<ServerTime>2026-01-01T11:00:00Z</ServerTime>")
KEYS = "AWS_ACCESS_KEY_ID of the environment"
READ, LIST, WRITE = (
    lambda: storage.read(A),
    lambda: storage.names("s3://studio/in"),
    lambda: storage.create(A, b"data"),
)


DENIED = refusal(403, "AccessDenied")
SAID = f"(AccessDenied: AccessDenied it is), with {KEYS}"
REGION = (
    f"{A}: the bucket is in eu-west-1, and URL (AWS_ENDPOINT_URL) was asked, signed for us-east-1; "
    "set AWS_DEFAULT_REGION=eu-west-1, or an endpoint of that region"
)
UNSEEN = "; S3 also says so of an object that does not exist, if the credentials may not list the bucket"
CLOCK = f"{A}: access denied (RequestTimeTooSkewed):"


@pytest.mark.parametrize(
    ("answer", "act", "kind", "says"),
    [
        (DENIED, READ, Forbidden, f"{A}: access denied to s3:GetObject {SAID}{UNSEEN}"),
        (DENIED, LIST, Forbidden, f"s3://studio/in/: access denied to s3:ListBucket {SAID}"),
        (DENIED, WRITE, Forbidden, f"{A}: access denied to s3:PutObject {SAID}"),
        (DENIED, lambda: storage.remove(A), Forbidden, f"{A}: access denied to s3:DeleteObject {SAID}"),
        (
            *(refusal(403, "InvalidAccessKeyId"), READ, Forbidden),
            f"{A}: access denied, as URL (AWS_ENDPOINT_URL) does not know the access key: {KEYS}",
        ),
        (
            *(refusal(403, "SignatureDoesNotMatch"), READ, Forbidden),
            f"{A}: access denied, as the secret key is not the one of the access key: {KEYS}",
        ),
        (
            *(refusal(400, "ExpiredToken"), READ, CredentialsExpired),
            f"{A}: the AWS credentials, {KEYS}, have expired (ExpiredToken). Renew them and run again",
        ),
        (
            *(refusal(403, "RequestTimeTooSkewed", *SKEW), READ, Forbidden),
            f"{CLOCK} this machine's clock is 3,600 seconds behind that of S3; set this machine's clock",
        ),
        (
            *(refusal(403, "RequestTimeTooSkewed"), READ, Forbidden),
            f"{CLOCK} the clocks of this machine and of S3 are too far apart; set this machine's clock",
        ),
        (refusal(404, "NoSuchBucket"), READ, NotFound, f"{A}: no such object, as there is no bucket 'studio'"),
        (refusal(404, "NoSuchKey"), READ, NotFound, f"{A}: no such object"),
        (refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"), READ, StorageError, REGION),
        (
            refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            *(lambda: storage.identity(A), StorageError, REGION),
        ),
        (
            *(refusal(301, "PermanentRedirect"), READ, StorageError),
            f"{A}: URL (AWS_ENDPOINT_URL) sends every request elsewhere; look at the endpoint",
        ),
        (
            *(refusal(400, "InvalidArgument"), READ, StorageError),
            f"{A}: S3 refuses s3:GetObject (InvalidArgument: InvalidArgument it is)",
        ),
        (
            *(refusal(501, "NotImplemented"), WRITE, StorageError),
            f"{A}: S3 refuses s3:PutObject (NotImplemented: NotImplemented it is)",
        ),
    ],
)
def test_permanent_errors_are_explained_at_once(
    peer: Peer, answer: Answer, act: Callable[[], object], kind: type[StorageError], says: str
) -> None:
    """The message names the right, the object, the credentials and the server as needed; the error is not retryable."""
    there = peer(lambda _: answer)
    with pytest.raises(StorageError) as caught:
        act()

    assert type(caught.value) is kind
    assert str(caught.value) == says.replace("URL (", f"{there.url} (")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "RequestTimeout"),
        (400, "BadDigest"),
        (400, "IncompleteBody"),
        (400, "XAmzContentSHA256Mismatch"),
        (400, "SlowDown"),
        (409, "OperationAborted"),
        (408, "408"),
        (409, "409"),
        (425, "425"),
        (429, "429"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_errors_that_may_pass_are_retryable(status: int, code: str) -> None:
    """Some statuses and codes below 500 say that the same request may succeed later; so does every one from 500 on."""
    error = translated(status, code)

    assert isinstance(error, Unavailable)
    assert error.retryable


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"])
def test_every_code_of_expired_credentials_ends_the_run(code: str) -> None:
    """The error asks for new credentials, as no object is to blame, and repeating the request is of no use."""
    error = translated(400, code)

    assert isinstance(error, CredentialsExpired)
    assert str(error).endswith(f"have expired ({code}). Renew them and run again")


def translated(status: int, code: str) -> StorageError:
    """Return the error for a response to a GET request with this status and code."""
    facts = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StorageError) as caught, named(A, "s3:GetObject", has_answered=True):
        raise ClientError(facts, "GetObject")
    return caught.value


def test_a_refused_signature_may_be_due_to_checksums(
    peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If reads succeeded, a write refused for its signature names the variable for stores without checksum trailers.

    With this variable set, the same write succeeds.
    """
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.parent / "company.pem"))

    def answer(request: Request) -> Answer:
        refused = "x-amz-trailer" in request.headers
        if refused:
            return refusal(403, "SignatureDoesNotMatch", Connection="close")
        return an_object(b"" if request.method == "PUT" else b"data")

    wrong_key = f"{A}: access denied, as the secret key is not the one of the access key: {KEYS}"
    peer(answer, certificate)
    with pytest.raises(Forbidden) as first:
        storage.create(A, b"data")
    storage.read(A)
    with pytest.raises(Forbidden) as after_a_read:
        storage.create(A, b"data")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    s3.requests.filesystem.cache_clear()

    assert str(first.value) == wrong_key
    assert str(after_a_read.value) == (
        f"{wrong_key}; or the store does not accept checksums: set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
    )
    assert storage.create(A, b"data") is True


def page(status: int) -> Answer:
    """Return an HTML page as a response."""
    body = b"<!DOCTYPE html><html><body>Please sign in<br></body></html>"
    return Answer(status, body, {"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize("act", [READ, LIST, WRITE, lambda: storage.replace(A, b"data")])
@pytest.mark.parametrize("status", [200, 401, 403, 404, 502])
def test_a_web_page_is_not_taken_for_s3(peer: Peer, quick: None, act: Callable[[], object], status: int) -> None:
    """A sign-in page or a proxy's page is not taken for an image, an empty folder or a write, whatever its status."""
    there = peer(lambda _: page(status))
    with pytest.raises(StorageError) as caught:
        act()

    assert f"{there.url} (AWS_ENDPOINT_URL) answers, but not as S3 does" in str(caught.value)
    assert caught.value.retryable is (status == 502 or len(there.requests) > 1)


def test_a_head_response_without_an_etag_is_an_error(peer: Peer) -> None:
    """A HEAD response without an ETag does not describe an S3 object, so it is an error."""
    peer(lambda _: page(200))

    with pytest.raises(StorageError, match="answers, but not as S3 does"):
        storage.identity(A)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", folder / "key.pem", "-out", folder / "company.pem"],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "company.pem").read_text())
    return both


def test_an_untrusted_certificate_is_explained(peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable to set; with it set, reads succeed; a bundle that cannot be read is named."""
    there = peer(lambda _: an_object(b"data"), certificate)
    company = certificate.parent / "company.pem"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    seen = {}
    for bundle in ("", str(company), "/gone.pem", __file__):
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle) if bundle else monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        s3.requests.filesystem.cache_clear()
        try:
            seen[bundle] = storage.read(A).decode()
        except StorageError as error:
            seen[bundle] = f"passing: {error}" if error.retryable else str(error)

    assert seen[""] == (
        f"{A}: the certificate of {there.url} (AWS_ENDPOINT_URL) is not trusted; a company's own goes into a file that "
        "AWS_CA_BUNDLE names (certificate verify failed: self-signed certificate)"
    )
    assert seen[str(company)] == "data"
    assert seen["/gone.pem"] == f"{A}: /gone.pem (AWS_CA_BUNDLE) cannot be read (No such file or directory)"
    assert seen[__file__].startswith(f"{A}: {__file__} (AWS_CA_BUNDLE) cannot be read")


def test_a_bundle_without_the_certificate_is_named(
    peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bundle that lacks the certificate is named; a server without TLS is reported as such."""
    peer(lambda _: an_object(b"data"), certificate)
    (tmp_path / "config").write_text("[default]\nca_bundle = /etc/ssl/certs/ca-certificates.crt\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(
        StorageError, match=r"checked with /etc/ssl/certs/ca-certificates.crt \(ca_bundle, profile 'def"
    ):
        storage.read(A)

    plain = peer(lambda _: an_object(b"data"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", plain.url.replace("http:", "https:"))
    s3.requests.filesystem.cache_clear()
    with pytest.raises(StorageError, match=r"does not speak TLS as it should; .*\(wrong version number\)"):
        storage.read(A)


def test_an_invalid_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without http, or with an unknown host, is named in the message, without its secrets."""
    monkeypatch.setattr("flows.storage.retries.FIRST_CONTACT_SECONDS", 0.0)
    for url, kind, says in (
        ("127.0.0.1:9", StorageError, "127.0.0.1:9 (AWS_ENDPOINT_URL_S3) is no endpoint; expected http(s)://HOST:PORT"),
        (
            "http://me:recognisable-secret@127.0.0.1:9",
            StorageError,
            "http://***@127.0.0.1:9 (AWS_ENDPOINT_URL_S3) has a",
        ),
        ("http://nowhere.invalid", Unreachable, "no answer from http://nowhere.invalid (AWS_ENDPOINT_URL_S3)"),
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        s3.requests.filesystem.cache_clear()
        with pytest.raises(kind) as caught:
            storage.read(A)
        assert says in str(caught.value)
        assert "recognisable" not in str(caught.value)
    s3.requests.filesystem.cache_clear()
