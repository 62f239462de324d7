"""Decoding of S3 objects that have a Content-Encoding. No I/O."""

import gzip
import io
import zlib

from flows.errors import NotDecoded, TooLarge

GZIP = ("gzip", "x-gzip")
OTHERS = ("br", "compress", "x-compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "zstd", "aes128gcm")
"""Encodings that are registered with IANA and not supported here. Any other value is ignored, as it says nothing about
the bytes: for example `aws-chunked`, which uploads leave behind, or `utf-8`."""
AT_ONCE = 1 << 20
"""The number of decoded bytes between two checks of the limit."""


def decoded(address: str, data: bytes, content_encoding: str, max_bytes: int | None) -> bytes:
    """Return the content of an object, decoded.

    Args:
        address: the address of the object, for messages.
        data: the bytes as stored.
        content_encoding: the encodings in the order in which they were applied, such as `gzip` or `gzip,aws-chunked`.
        max_bytes: the most bytes that the decoded content may have; None for no limit.

    Raises:
        NotDecoded: an encoding is not supported, or the bytes are not encoded that way.
        TooLarge: there are more decoded bytes; no more than the limit is decoded.
    """
    for coding in reversed([one.strip().lower() for one in content_encoding.split(",")]):
        if coding in GZIP:
            data = _gunzipped(address, data, max_bytes)
        elif coding in OTHERS:
            raise NotDecoded(
                f"{address}: has the Content-Encoding {coding}; only gzip is read: store it plain, or as gzip"
            )
    return data


def _gunzipped(address: str, data: bytes, max_bytes: int | None) -> bytes:
    if not data:  # GzipFile would accept it as an empty file
        raise NotDecoded(f"{address}: says Content-Encoding: gzip, and has no bytes; store it again")
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            while chunk := packed.read(AT_ONCE):
                content.write(chunk)
                if max_bytes is not None and content.tell() > max_bytes:
                    raise TooLarge(f"{address}: expected at most {max_bytes} bytes once decoded from gzip, found more")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NotDecoded(
            f"{address}: says Content-Encoding: gzip, and is none ({error}); correct what it says, or store it again"
        ) from error
    return content.getvalue()
