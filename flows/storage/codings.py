"""Content-Encoding -> the bytes that were stored before it. No I/O."""

import gzip
import io
import zlib

from flows.errors import NotDecoded, TooLarge

GZIP = ("gzip", "x-gzip")
OTHERS = ("br", "compress", "x-compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "zstd", "aes128gcm")
"""Registered with IANA, and not read here. Words that are no coding, such as `aws-chunked`, which uploads leave behind,
or `utf-8`, say nothing about the bytes."""
AT_ONCE = 1 << 20


def decoded(address: str, data: bytes, content_encoding: str, max_bytes: int | None) -> bytes:
    """What an object held before its content was encoded.

    Args:
        address: of the object, for messages.
        data: as stored.
        content_encoding: codings in the order in which they were applied, such as `gzip` or `gzip,aws-chunked`.
        max_bytes: that the decoded bytes may have.

    Raises:
        NotDecoded: of a coding that is not read, or of bytes that do not have it.
        TooLarge: if there are more bytes; no more than that is decoded.
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
    if not data:  # GzipFile takes nothing for an empty file
        raise NotDecoded(f"{address}: says Content-Encoding: gzip, and has no bytes; store it anew")
    whole = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            while part := packed.read(AT_ONCE):
                whole.write(part)
                if max_bytes is not None and whole.tell() > max_bytes:
                    raise TooLarge(f"{address}: expected at most {max_bytes} bytes once decoded from gzip, found more")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NotDecoded(
            f"{address}: says Content-Encoding: gzip, and is none ({error}); correct what it says, or store it anew"
        ) from error
    return whole.getvalue()
