"""Floating point TIFFs: conversion to 16-bit integers, with white at 1."""

from io import BytesIO
from typing import Any

from nst_core.images.files.credits import TAGS
from nst_core.images.reading.reduction import check_memory
from nst_core.images.refusals import CONVERT, DEPTH, check_size, refused

_ORIENTATION, _PROFILE = 274, 34675  # TIFF tags
_NOTE = "floating point numbers without a colour profile taken as sRGB, white at 1"
"""The note for the user when a file has no colour profile."""


def to_16_bits(data: bytes, name: str, notes: list[str], most_pixels: int) -> bytes:
    """Convert a floating point TIFF whose values all lie from 0 to 1 to a 16-bit TIFF.

    Raises:
        BadImage: if values lie outside, so that white could be anywhere; or if the file cannot be read here.
    """
    import numpy as np
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[0]
        size = (page.imagewidth, page.imagelength)
        check_size(size, name, most_pixels)
        check_memory(name, size, 1, page.samplesperpixel * (page.dtype.itemsize + 4.0), 2 * len(data))
        try:
            values = page.asarray()
        except ValueError as error:  # its codec is not installed
            found = f"a TIFF of floating point numbers that is packed in a rare way ({error})"
            raise refused(name, "unsupported_mode", DEPTH, found, CONVERT) from error
        if page.planarconfig == 2:
            values = np.moveaxis(values, 0, -1)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            found = f"floating point numbers from {low:g} to {high:g}, any of which may be white"
            raise refused(name, "unsupported_mode", DEPTH, found, CONVERT)
        tags = {tag: page.tags[tag].value for tag in (_ORIENTATION, _PROFILE, *TAGS.values()) if tag in page.tags}
        extra = page.extrasamples
        photometric = page.photometric
    if _PROFILE not in tags:
        notes.append(_NOTE)
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        np.round(values * np.float32(65535)).astype(np.uint16),
        photometric=photometric,
        planarconfig="contig" if values.ndim == 3 else None,
        extrasamples=extra or None,
        iccprofile=tags.get(_PROFILE),
        extratags=[
            *([(_ORIENTATION, 3, 1, tags[_ORIENTATION], True)] if _ORIENTATION in tags else []),
            *((tag, 2, 0, text, True) for tag in TAGS.values() if (text := _encoded(tags.get(tag)))),
        ],
        metadata=None,
        software=False,
    )
    return buffer.getvalue()


def _encoded(text: Any) -> bytes:
    """Return a tag's text as bytes; empty if it is no text."""
    return text.encode() if isinstance(text, str) else text if isinstance(text, bytes) else b""
