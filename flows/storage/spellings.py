"""Translation of the S3 addresses that consoles, command lines and other programs show to plain ones. No I/O.

Unambiguous spellings are translated: `S3://`, `s3a://`, `s3n://`, the ARN of an object, a bucket or an access point,
the URL of an object at AWS, and the URL of the console's page about it. An AWS address that means something else, or is
ambiguous, is refused, and the message has the plain one to write instead. Every other text is returned unchanged.
"""

import re
from urllib.parse import SplitResult, parse_qs, unquote_plus, urlsplit

_SCHEME = re.compile(r"s3[an]?://", re.IGNORECASE)
_URL = re.compile(r"https?://", re.IGNORECASE)
_LISTED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d\S*( [KMGTPE]?i?Bytes?| [KMGTPE]iB)? +(?P<key>.+)|PRE .+/")
"""A line of the output of `aws s3 ls`."""
_OBJECT_ARN = re.compile(r"arn:aws[a-z-]*:s3:::(?P<bucket>[^/:*?]+)(?P<key>/.*)?", re.DOTALL)
_ACCESS_POINT_ARN = re.compile(
    r"(?P<bucket>arn:aws[a-z-]*:s3:[a-z0-9-]+:\d{12}:accesspoint[/:][a-z0-9-]+)(?P<key>/.*)?", re.DOTALL
)

_REGION = r"[a-z]{2,}(?:-[a-z]+)+-\d"
_HOST = re.compile(
    rf"(?:(?P<bucket>.+)\.)?(?P<service>s3(?:-fips|-accelerate|-accesspoint|-accesspoint-fips|-external-1|-website)?)"
    rf"(?:\.dualstack)?(?:[.-](?P<region>{_REGION}))?\.amazonaws\.com(?P<china>\.cn)?"
)
_CONSOLE = re.compile(r"(?:[a-z0-9-]+\.)*console\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com)")
_PAGE = re.compile(r"/s3/(?P<kind>buckets|object)/(?P<bucket>[^/]+)(?P<key>/.*)?")
_POINT_HOST = re.compile(r"(?P<name>[a-z0-9-]+)-(?P<account>\d{12})")
_SIGNATURE = re.compile(r"(^|&)(X-Amz-Signature|Signature)=", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def plain(address: str) -> str:
    """Return the plain form of an AWS address, `s3://bucket/key`; return any other text unchanged.

    Raises:
        ValueError: it is an ambiguous AWS address; the message says what to write instead.
    >>> plain("S3://studio/a b.png"), plain("arn:aws:s3:::studio/a b.png")
    ('s3://studio/a b.png', 's3://studio/a b.png')
    >>> plain("https://studio.s3.eu-central-1.amazonaws.com/in/a+b%2B1.png")
    's3://studio/in/a b+1.png'
    """
    if address.startswith("s3://"):
        return address
    if scheme := _SCHEME.match(address):
        return f"s3://{address[scheme.end() :]}"
    if match := _OBJECT_ARN.fullmatch(address):
        return f"s3://{match['bucket']}{match['key'] or ''}"
    if match := _ACCESS_POINT_ARN.fullmatch(address):
        return _of_access_point(match["bucket"], match["key"] or "")
    if _URL.match(address):
        return _of_url(address)
    if match := _LISTED.fullmatch(address.strip()):
        name = (match["key"] or "").rpartition("/")[2] or "its name"
        raise ValueError(f"a line of `aws s3 ls` is no address; write s3://, the bucket, the folder and {name!r}")
    return address


def is_access_point(bucket: str) -> bool:
    """Return whether the bucket's name is the ARN of an access point, which S3 accepts in its place."""
    match = _ACCESS_POINT_ARN.fullmatch(bucket)
    return match is not None and not match["key"]


def bucket_and_key(address: str) -> tuple[str, str | None]:
    """Split an address that begins with `s3://` into bucket and key; the key is None if no slash follows the bucket.

    >>> bucket_and_key("s3://studio/a//b.png"), bucket_and_key("s3://studio")
    (('studio', 'a//b.png'), ('studio', None))
    """
    rest = address.removeprefix("s3://")
    match = _ACCESS_POINT_ARN.fullmatch(rest) if rest.startswith("arn:") else None
    if match:
        return match["bucket"], match["key"] and match["key"][1:]
    bucket, slash, key = rest.partition("/")
    return bucket, key if slash else None


def _of_access_point(arn: str, rest: str) -> str:
    """Translate an access point's ARN; in ARNs as IAM writes them, `/object` precedes the key."""
    if rest in ("", "/") or rest.startswith("/object/"):
        return f"s3://{arn}{rest.removeprefix('/object')}"
    raise ValueError(f"expected ':accesspoint/NAME/object/KEY' in the ARN of an object; write s3://{arn}{rest}")


def _of_url(address: str) -> str:
    try:
        url = urlsplit(address)
        host, port = url.hostname or "", url.port
    except ValueError:  # not a valid URL: `addresses.problem_of` refuses it
        return address
    if not address.isprintable() or "@" in url.netloc or port not in (None, 80, 443):
        return address
    if _CONSOLE.fullmatch(host):
        return _of_page(address, url)
    match = _HOST.fullmatch(host)
    return _of_object_url(address, url, match) if match else address


def _of_object_url(address: str, url: SplitResult, host: re.Match[str]) -> str:
    path = url.path
    if host["service"].startswith("s3-accesspoint"):
        point = _POINT_HOST.fullmatch(host["bucket"] or "")
        if not point or not host["region"]:
            return address
        partition = "aws-cn" if host["china"] else "aws-us-gov" if host["region"].startswith("us-gov-") else "aws"
        bucket = f"arn:{partition}:s3:{host['region']}:{point['account']}:accesspoint/{point['name']}"
    elif host["bucket"]:
        bucket = host["bucket"]
    else:
        bucket, _, path = path[1:].partition("/")
        path = f"/{path}"
        if not bucket:
            return address
    plain_address = f"s3://{bucket}{_unquoted(path, bucket)}"
    if _SIGNATURE.search(url.query):
        raise ValueError(f"a signed link runs out, and is a secret; write {plain_address}")
    if host["service"] == "s3-website":
        raise ValueError(f"a page of a website may be another object than its address says; write {plain_address}")
    if url.query or url.fragment:
        raise ValueError(
            f"what stands behind '{'?' if url.query else '#'}' in a URL is no part of a key; write {plain_address}"
        )
    return plain_address


def _of_page(address: str, url: SplitResult) -> str:
    """Translate the URL of a console page on an object or folder; the key is in `prefix`, in old URLs in the path."""
    match = _PAGE.fullmatch(url.path)
    if not match:
        return address
    query = parse_qs(url.query)
    key = query["prefix"][0] if "prefix" in query else _unquoted(match["key"] or "", match["bucket"])[1:]
    plain_address = f"s3://{match['bucket']}/{key}"
    if match["kind"] == "object" and not key:
        return address
    if "versionId" in query:
        raise ValueError(f"the page of one version is no address, as the newest one is read; write {plain_address}")
    return plain_address


def _unquoted(path: str, bucket: str) -> str:
    """Decode the path of a URL as S3 does, where `+` is a blank."""
    if _BAD_ESCAPE.search(path):
        raise ValueError(
            f"a '%' that escapes nothing leaves a URL's meaning open; write s3://{bucket}{path}, or its key"
        )
    try:
        return unquote_plus(path, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"the URL's key is not UTF-8; write s3://{bucket}/ and the key") from None
