"""An address as consoles, command lines and other programs give it -> the plain one that is meant. No I/O.

Taken is what leaves no doubt: `S3://`, `s3a://`, `s3n://`, the ARN of an object, a bucket or an access point, the URL
of an object at AWS, and that of the console's page about it. An address of AWS that means something else, or may mean
two things, is refused with the plain one to write in its place. Everything else is given back as it is.
"""

import re
from urllib.parse import SplitResult, parse_qs, unquote_plus, urlsplit

_SCHEME = re.compile(r"s3[an]?://", re.IGNORECASE)
_URL = re.compile(r"https?://", re.IGNORECASE)
_LISTED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d\S*( [KMGTPE]?i?Bytes?| [KMGTPE]iB)? +(?P<key>.+)|PRE .+/")
"""A line of `aws s3 ls`."""
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
    """The plain address that is meant: `s3://bucket/key`; anything that is none of AWS's is given back as it is.

    Raises:
        ValueError: it is AWS's, and leaves a doubt; the message says what to write.
    >>> plain("S3://studio/a b.png"), plain("arn:aws:s3:::studio/a b.png")
    ('s3://studio/a b.png', 's3://studio/a b.png')
    >>> plain("https://studio.s3.eu-central-1.amazonaws.com/in/a+b%2B1.png")
    's3://studio/in/a b+1.png'
    """
    if address.startswith("s3://"):
        return address
    if scheme := _SCHEME.match(address):
        return f"s3://{address[scheme.end() :]}"
    if found := _OBJECT_ARN.fullmatch(address):
        return f"s3://{found['bucket']}{found['key'] or ''}"
    if found := _ACCESS_POINT_ARN.fullmatch(address):
        return _of_access_point(found["bucket"], found["key"] or "")
    if _URL.match(address):
        return _of_url(address)
    if found := _LISTED.fullmatch(address.strip()):
        name = (found["key"] or "").rpartition("/")[2] or "its name"
        raise ValueError(f"a line of `aws s3 ls` is no address; write s3://, the bucket, the folder and {name!r}")
    return address


def is_access_point(bucket: str) -> bool:
    """Whether what stands in a bucket's place is the ARN of an access point, which S3 takes there."""
    found = _ACCESS_POINT_ARN.fullmatch(bucket)
    return found is not None and not found["key"]


def bucket_and_key(address: str) -> tuple[str, str | None]:
    """Bucket and key of an address that begins with `s3://`; no key where no slash follows the bucket.

    >>> bucket_and_key("s3://studio/a//b.png"), bucket_and_key("s3://studio")
    (('studio', 'a//b.png'), ('studio', None))
    """
    rest = address.removeprefix("s3://")
    found = _ACCESS_POINT_ARN.fullmatch(rest) if rest.startswith("arn:") else None
    if found:
        return found["bucket"], found["key"] and found["key"][1:]
    bucket, slash, key = rest.partition("/")
    return bucket, key if slash else None


def _of_access_point(arn: str, rest: str) -> str:
    """In IAM's ARNs the word `object` stands before a key."""
    if rest in ("", "/") or rest.startswith("/object/"):
        return f"s3://{arn}{rest.removeprefix('/object')}"
    raise ValueError(f"expected ':accesspoint/NAME/object/KEY' in the ARN of an object; write s3://{arn}{rest}")


def _of_url(address: str) -> str:
    try:
        url = urlsplit(address)
        host, port = url.hostname or "", url.port
    except ValueError:  # no URL: whoever judges addresses refuses it
        return address
    if not address.isprintable() or "@" in url.netloc or port not in (None, 80, 443):
        return address
    if _CONSOLE.fullmatch(host):
        return _of_page(address, url)
    found = _HOST.fullmatch(host)
    return _of_object_url(address, url, found) if found else address


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
    meant = f"s3://{bucket}{_unquoted(path, bucket)}"
    if _SIGNATURE.search(url.query):
        raise ValueError(f"a signed link runs out, and is a secret; write {meant}")
    if host["service"] == "s3-website":
        raise ValueError(f"a page of a website may be another object than its address says; write {meant}")
    if url.query or url.fragment:
        raise ValueError(
            f"what stands behind '{'?' if url.query else '#'}' in a URL is no part of a key; write {meant}"
        )
    return meant


def _of_page(address: str, url: SplitResult) -> str:
    """The console's page about an object or a folder has its key as `prefix`, older ones in the path."""
    found = _PAGE.fullmatch(url.path)
    if not found:
        return address
    asked = parse_qs(url.query)
    key = asked["prefix"][0] if "prefix" in asked else _unquoted(found["key"] or "", found["bucket"])[1:]
    meant = f"s3://{found['bucket']}/{key}"
    if found["kind"] == "object" and not key:
        return address
    if "versionId" in asked:
        raise ValueError(f"the page of one version is no address, as the newest one is read; write {meant}")
    return meant


def _unquoted(path: str, bucket: str) -> str:
    """A URL's path as S3 reads it: `+` is a blank there."""
    if _BAD_ESCAPE.search(path):
        raise ValueError(
            f"a '%' that escapes nothing leaves a URL's meaning open; write s3://{bucket}{path}, or its key"
        )
    try:
        return unquote_plus(path, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"the URL's key is not UTF-8; write s3://{bucket}/ and the key") from None
