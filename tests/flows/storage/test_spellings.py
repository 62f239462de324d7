"""flows.storage.spellings: addresses as consoles and tools show them."""

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows import storage
from flows.errors import NotAllowed
from flows.storage.addresses import problem_of, resolved_address
from flows.storage.spellings import bucket_and_key, plain

POINT = "arn:aws:s3:eu-central-1:123456789012:accesspoint/mine"
KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(
    lambda key: {".", ".."}.isdisjoint(key.split("/")) and not key.endswith("/")
)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("S3://studio/a.png", "s3://studio/a.png"),
        ("s3a://studio/a.png", "s3://studio/a.png"),
        ("s3n://studio/A#?%20+.png", "s3://studio/A#?%20+.png"),
        ("arn:aws:s3:::studio/in/a b.png", "s3://studio/in/a b.png"),
        ("arn:aws-cn:s3:::studio/a%20b.png", "s3://studio/a%20b.png"),
        ("arn:aws-us-gov:s3:::studio", "s3://studio"),
        (f"{POINT}/object/in/a.png", f"s3://{POINT}/in/a.png"),
        (f"{POINT}/object/object/a.png", f"s3://{POINT}/object/a.png"),
        (f"{POINT}", f"s3://{POINT}"),
        # the console's "Copy URL", and other URLs of objects
        ("https://studio.s3.eu-central-1.amazonaws.com/in/a.png", "s3://studio/in/a.png"),
        ("https://studio.s3.amazonaws.com/in/a.png", "s3://studio/in/a.png"),
        ("http://studio.s3.amazonaws.com:80/in/a.png", "s3://studio/in/a.png"),
        ("HTTPS://studio.s3.us-gov-west-1.amazonaws.com/a.png", "s3://studio/a.png"),
        ("https://studio.s3-us-west-2.amazonaws.com/in/a.png", "s3://studio/in/a.png"),
        ("https://studio.s3.dualstack.us-west-2.amazonaws.com/in/a.png", "s3://studio/in/a.png"),
        ("https://studio.s3-fips.us-west-2.amazonaws.com/a.png", "s3://studio/a.png"),
        ("https://studio.s3-accelerate.amazonaws.com/a.png", "s3://studio/a.png"),
        ("https://studio.s3.cn-north-1.amazonaws.com.cn/a.png", "s3://studio/a.png"),
        ("https://my.pictures.s3.eu-west-1.amazonaws.com/a.png", "s3://my.pictures/a.png"),
        ("https://a.s3.b.s3.eu-west-1.amazonaws.com/a.png", "s3://a.s3.b/a.png"),
        ("https://s3.eu-west-1.amazonaws.com/studio/in/a.png", "s3://studio/in/a.png"),
        ("https://s3.amazonaws.com/studio/a.png", "s3://studio/a.png"),
        ("https://s3-eu-west-1.amazonaws.com/studio/a.png", "s3://studio/a.png"),
        ("https://mine-abc123-s3alias.s3.eu-west-1.amazonaws.com/a.png", "s3://mine-abc123-s3alias/a.png"),
        ("https://mine-123456789012.s3-accesspoint.eu-central-1.amazonaws.com/a.png", f"s3://{POINT}/a.png"),
        ("https://studio.s3.amazonaws.com/a+b%2B%23%3F%25//%C3%BC.png", "s3://studio/a b+#?%//ü.png"),
        ("https://studio.s3.amazonaws.com/in/", "s3://studio/in/"),
        # pages of the console
        (
            "https://eu-central-1.console.aws.amazon.com/s3/object/studio?region=eu-central-1&bucketType=general"
            "&prefix=in/a+b%2B.png",
            "s3://studio/in/a b+.png",
        ),
        ("https://s3.console.aws.amazon.com/s3/object/studio?region=us-east-1&prefix=a.png", "s3://studio/a.png"),
        ("https://s3.console.aws.amazon.com/s3/object/studio/in/a.png?region=us-east-1", "s3://studio/in/a.png"),
        (
            "https://us-east-1.console.aws.amazon.com/s3/buckets/studio?prefix=in/&region=us-east-1&tab=objects",
            "s3://studio/in/",
        ),
        ("https://s3.console.aws.amazon.com/s3/buckets/studio", "s3://studio/"),
        ("https://console.amazonaws-us-gov.com/s3/object/studio?prefix=a.png", "s3://studio/a.png"),
        # local paths, and addresses that are refused elsewhere
        ("in/a.png", "in/a.png"),
        ("2024-01-02 03:04:05.png", "2024-01-02 03:04:05.png"),
        ("PRE/a.png", "PRE/a.png"),
        ("https://example.org/s3/a.png", "https://example.org/s3/a.png"),
        ("https://s3.amazonaws.com.evil.org/studio/a.png", "https://s3.amazonaws.com.evil.org/studio/a.png"),
        ("https://me:secret@studio.s3.amazonaws.com/a.png", "https://me:secret@studio.s3.amazonaws.com/a.png"),
        ("https://studio.s3.amazonaws.com:8443/a.png", "https://studio.s3.amazonaws.com:8443/a.png"),
        ("https://studio.ec2.eu-west-1.amazonaws.com/a.png", "https://studio.ec2.eu-west-1.amazonaws.com/a.png"),
        ("https://s3.amazonaws.com/", "https://s3.amazonaws.com/"),
        ("https://[bad/a.png", "https://[bad/a.png"),
        ("https://us-east-1.console.aws.amazon.com/ec2/home", "https://us-east-1.console.aws.amazon.com/ec2/home"),
        ("arn:aws:s3:eu-central-1:1:accesspoint/mine/object/a", "arn:aws:s3:eu-central-1:1:accesspoint/mine/object/a"),
    ],
)
def test_unambiguous_spellings_become_plain_addresses(given: str, meant: str) -> None:
    """Hadoop's schemes, ARNs, and AWS's URLs of objects and console pages become s3://; other texts do not change."""
    assert plain(given) == meant


SIGNED = "https://studio.s3.amazonaws.com/in/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=c0ffee"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (SIGNED, "a signed link runs out, and is a secret; write s3://studio/in/a.png"),
        ("https://studio.s3.amazonaws.com/a.png?AWSAccessKeyId=x&Signature=c0ffee", "a signed link runs out"),
        (
            "https://studio.s3.amazonaws.com/a.png?versionId=3",
            "behind '?' in a URL is no part of a key; write s3://stud",
        ),
        ("https://studio.s3.amazonaws.com/a#1.png", "behind '#' in a URL is no part of a key; write s3://studio/a"),
        ("https://studio.s3-website.eu-central-1.amazonaws.com/a/", "may be another object.*; write s3://studio/a/"),
        ("https://studio.s3-website-us-east-1.amazonaws.com/a.png", "may be another object.*; write s3://studio/a.png"),
        ("https://studio.s3.amazonaws.com/100%.png", "'%' that escapes nothing.*; write s3://studio/100%.png"),
        ("https://studio.s3.amazonaws.com/%FF.png", "the URL's key is not UTF-8; write s3://studio/ and the key"),
        (
            "https://s3.console.aws.amazon.com/s3/object/studio?prefix=a.png&versionId=3",
            "as the newest one is read; write s3://studio/a.png",
        ),
        (f"{POINT}/in/a.png", f"expected ':accesspoint/NAME/object/KEY'.*; write s3://{POINT}/in/a.png"),
        (
            "2024-01-02 03:04:05     123456 in/a b.png",
            "a line of `aws s3 ls` is no address; .*the folder and 'a b.png'",
        ),
        ("2024-01-02 03:04:05    1.2 MiB in/a.png", "a line of `aws s3 ls` is no address; .*'a.png'"),
        ("                           PRE in/", "a line of `aws s3 ls` is no address"),
    ],
)
def test_ambiguous_spellings_are_refused_with_what_to_write(given: str, reason: str) -> None:
    """Cells and command lines get the same refusal, in one line and without the secret of a signed link."""
    with pytest.raises(ValueError, match=reason.replace("?'", "[?]'")):
        resolved_address(given.strip(), "/data")
    with pytest.raises(NotAllowed) as caught:
        storage.absolute(given)
    assert "c0ffee" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(KEYS)
@example("a b+%2B#?versionId=1//::.png")
@example("//")
def test_a_key_survives_every_spelling(key: str) -> None:
    """A key with any characters is the same address in plain form, as an ARN, and as an escaped URL."""
    address = f"s3://studio/{key}"
    if problem_of(address) or key.endswith("/"):
        return
    host = "studio.s3.eu-central-1.amazonaws.com"

    assert bucket_and_key(address) == ("studio", key)
    assert {plain(one) for one in (address, f"S3://studio/{key}", f"arn:aws:s3:::studio/{key}")} == {address}
    assert plain(f"https://{host}/{quote(key)}") == address
    assert plain(f"https://{host}/{quote_plus(key, safe='/')}") == address
    assert plain(f"https://s3.console.aws.amazon.com/s3/object/studio?prefix={quote_plus(key)}") == address
    assert plain(f"{POINT}/object/{key}") == f"s3://{POINT}/{key}"
    assert bucket_and_key(f"s3://{POINT}/{key}") == (POINT, key)
    assert plain(plain(address)) == address


@given(KEYS)
def test_joining_folder_and_name_gives_the_address_again(key: str) -> None:
    """`join` of `parent_of` and `name_of` is the address again, however many slashes are side by side."""
    address = f"s3://studio/{key}"

    assert storage.join(storage.parent_of(address), storage.name_of(address)) == address


def test_a_folder_address_may_end_with_one_slash() -> None:
    """One slash at the end is removed; two are refused, as it would no longer be clear which folder is meant."""
    assert storage.absolute("s3://studio/in/") == "s3://studio/in"
    with pytest.raises(NotAllowed, match="expected at most one '/' at the end"):
        storage.absolute("s3://studio/in//")
