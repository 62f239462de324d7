"""flows.storage.s3.errors and accounts: what the user reads where accounts, files or servers are not in order.

Credentials are botocore's own, from real files; servers are real ones on loopback.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.errors import CredentialsExpired, Forbidden, NotFound, StorageError, Unreachable
from flows.storage import s3
from tests.flows.s3_peer import Answer, Request, S3Peer, an_object, refusal

A = "s3://studio/in/a.png"
Peer = Callable[..., S3Peer]


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
    """A home with AWS's two files, as people have them."""
    (tmp_path / ".aws" / "sso" / "cache").mkdir(parents=True)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    return tmp_path


CODE = """
from flows import storage
from flows.errors import StorageError
try:
    print("read", storage.read("s3://studio/in/a.png"))
except StorageError as error:
    print(type(error).__name__, error)
"""


def read_at(home: Path, **environment: str) -> str:
    """What reading an object says to somebody with that home; nothing else is said."""
    settings = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
    settings |= {"NST_OBJECT_SECONDS": "1", "NST_OUTAGE_SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=settings | environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "recognisable-secret" not in done.stdout + done.stderr
    assert all("trying again" in line for line in done.stderr.splitlines()), done.stderr
    return done.stdout.strip()


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
def test_a_profile_that_does_not_do_says_why(home: Path, profile: str, says: str) -> None:
    """One line names the profile, the setting that selected it, the files that were read, and what to do."""
    files = f"{home}/.aws/config and {home}/.aws/credentials"
    last = read_at(home, **({"AWS_PROFILE": profile} if profile else {})).splitlines()[-1]

    assert last == says.format(a=A, files=files)


@pytest.mark.parametrize("profile", ["corp", "before"])
def test_a_sign_in_that_has_expired_says_how_to_renew_it(home: Path, profile: str) -> None:
    """The message has the sign-in command for exactly this profile."""
    for start in ("corp", "https://corp.invalid/start"):
        name = hashlib.sha1(start.encode()).hexdigest()
        token = {"startUrl": "https://corp.invalid/start", "region": "eu-west-1", "accessToken": "recognisable-secret"}
        (home / ".aws" / "sso" / "cache" / f"{name}.json").write_text(
            json.dumps(token | {"expiresAt": "2020-01-01T00:00:00Z"})
        )
    said = read_at(home, AWS_DEFAULT_PROFILE=profile)

    assert said.startswith(f"CredentialsExpired {A}: nobody is signed in to profile {profile!r} (AWS_DEFAULT_PROFILE)")
    assert "expired" in said
    assert said.endswith(f"Run `aws sso login --profile {profile}`, then again")


def test_a_renewal_that_can_wait_is_told_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Botocore renews credentials before they run out, and warns of what did not go well."""
    with pytest.raises(StorageError) as caught:
        storage.read("s3://studio/none.png", seconds=0.1)
    logging.getLogger("aiobotocore.credentials").warning("failed during advisory refresh", exc_info=caught.value)

    assert "failed during advisory refresh" in caplog.text
    assert "Traceback" not in caplog.text


def test_other_files_are_named_and_missing_ones_told(home: Path) -> None:
    """What AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name is what was read."""
    said = read_at(home, AWS_PROFILE="x", AWS_CONFIG_FILE="/gone/config", AWS_SHARED_CREDENTIALS_FILE="/gone/keys")

    assert "is not in /gone/config (not there) and /gone/keys (not there); there are none" in said


def test_a_file_that_is_no_configuration_is_named(home: Path) -> None:
    """A configuration file that cannot be parsed is named in the message."""
    (home / ".aws" / "config").write_text("nonsense [\n")

    assert f"{home}/.aws/config" in read_at(home)
    assert "cannot be read (Unable to parse config file" in read_at(home)


def test_a_profile_and_an_endpoint_that_do_are_used(home: Path, peer: Peer) -> None:
    """The endpoint of a services section goes before that of a profile; the environment's before both."""
    there = peer(lambda _: an_object(b"data"))
    text = (home / ".aws" / "config").read_text()
    service = text.replace("[profile services]", "[profile services]\nendpoint_url = http://127.0.0.1:1", 1)
    head, _, tail = service.partition("[services here]")
    (home / ".aws" / "config").write_text(f"{head}[services here]{tail.replace('http://127.0.0.1:9', there.url)}")

    assert read_at(home, AWS_PROFILE="services") == "read b'data'"
    assert "Credential=AKIAOTHER/" in there.requests[0].headers["authorization"]
    assert read_at(home, AWS_PROFILE="minio", AWS_ENDPOINT_URL_S3=there.url) == "read b'data'"
    assert read_at(home, AWS_PROFILE="other", AWS_ENDPOINT_URL=there.url) == "read b'data'"


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
def test_what_stays_is_told_at_once(
    peer: Peer, answer: Answer, act: Callable[[], object], kind: type[StorageError], says: str
) -> None:
    """The message names the missing right, the object, the credentials and the server, and nothing is retried."""
    there = peer(lambda _: answer)
    with pytest.raises(StorageError) as caught:
        act()

    assert type(caught.value) is kind
    assert str(caught.value) == says.replace("URL (", f"{there.url} (")
    assert not caught.value.retryable


def test_a_store_that_refuses_checksums_is_not_only_blamed_on_the_secret_key(
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
    body = b"<!DOCTYPE html><html><body>Please sign in<br></body></html>"
    return Answer(status, body, {"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize("act", [READ, LIST, WRITE, lambda: storage.replace(A, b"data")])
@pytest.mark.parametrize("status", [200, 401, 403, 404, 502])
def test_a_web_page_is_told_from_s3(peer: Peer, impatient: None, act: Callable[[], object], status: int) -> None:
    """A sign-in page or a proxy's own is no picture, no empty folder and no write, whatever its status."""
    there = peer(lambda _: page(status))
    with pytest.raises(StorageError) as caught:
        act()

    assert f"{there.url} (AWS_ENDPOINT_URL) answers, but not as S3 does" in str(caught.value)
    assert caught.value.retryable is (status == 502 or len(there.requests) > 1)


def test_a_head_that_is_no_objects_is_told_from_s3(peer: Peer) -> None:
    """A HEAD response without an ETag does not describe an S3 object, so it is an error."""
    peer(lambda _: page(200))

    with pytest.raises(StorageError, match="answers, but not as S3 does"):
        storage.identity(A)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate that nobody has signed, in one file."""
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


def test_a_companys_certificate(peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrusted certificate names the variable to set; with it set, reads succeed; a wrong bundle is named."""
    there = peer(lambda _: an_object(b"data"), certificate)
    company = certificate.parent / "company.pem"
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


def test_another_certificate_and_no_certificate_at_all(
    peer: Peer, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bundle that lacks the certificate is named; a server without TLS is not blamed on one."""
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


def test_an_endpoint_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    """An endpoint without http, or with an unknown host, is named in the message, without its secrets."""
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
