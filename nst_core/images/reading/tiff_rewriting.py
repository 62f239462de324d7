"""TIFFs that Pillow cannot read or misreads: the same pixels as a TIFF that it reads.

These are floating point numbers, with white at 1, which become 16-bit integers, and what
`nst_core.images.files.tiff.is_misread` names.
"""

from io import BytesIO
from typing import Any

from nst_core.images.files.credits import TAGS
from nst_core.images.reading.reduction import check_memory
from nst_core.images.refusals import CONVERT, DEPTH, check_size, refused

_ORIENTATION, _PROFILE = 274, 34675  # TIFF tags
_NOTE = "floating point numbers without a colour profile taken as sRGB, white at 1"
"""The note for the user when a file of floating point numbers has no colour profile."""
MORE_PAGES = "several frames or pages: the first is used"
"""The note for the user when a file has more than one image."""
_RARE = ("requires the", "not supported", "not implemented", "not a known", "do not match")
"""Phrases of tifffile's errors for files that it cannot read here; its others are for files that are damaged."""


def rewritten(data: bytes, name: str, notes: list[str], most_pixels: int) -> bytes:
    """Return a TIFF of integers, with its colours interleaved, that has the pixels of the first image in `data`.

    Raises:
        BadImage: if floating point numbers lie outside of 0 to 1, so that white could be anywhere; or if the file
            cannot be read here.
    """
    import numpy as np
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[0]
        size = (page.imagewidth, page.imagelength)
        check_size(size, name, most_pixels)
        is_float = page.dtype.kind == "f"
        # Floating point numbers are scaled in fp32; integers are copied where their colours are interleaved.
        decoder_bytes = page.samplesperpixel * (page.dtype.itemsize + (4.0 if is_float else page.dtype.itemsize))
        check_memory(name, size, 1, decoder_bytes, 2 * len(data))
        try:
            values = page.asarray()
        except (ValueError, NotImplementedError) as error:
            if not any(phrase in str(error) for phrase in _RARE):
                raise
            kind = "floating point numbers" if is_float else "planes" if page.planarconfig == 2 else "signed numbers"
            found = f"a TIFF of {kind} that is packed in a rare way ({error})"
            raise refused(name, "unsupported_mode", DEPTH, found, CONVERT) from error
        if _has_more_pages(file):
            notes.append(MORE_PAGES)
        if page.planarconfig == 2 and values.ndim == 3:  # a grey image may be declared as planar too
            values = np.moveaxis(values, 0, -1)
        if is_float:
            low, high = float(values.min()), float(values.max())
            if not (low >= 0 and high <= 1):
                found = f"floating point numbers from {low:g} to {high:g}, any of which may be white"
                raise refused(name, "unsupported_mode", DEPTH, found, CONVERT)
            values = np.round(values * np.float32(65535)).astype(np.uint16)
        tags = {tag: page.tags[tag].value for tag in (_ORIENTATION, _PROFILE, *TAGS.values()) if tag in page.tags}
        extra = page.extrasamples
        photometric = page.photometric
    if is_float and _PROFILE not in tags:
        notes.append(_NOTE)
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        values,
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


def _has_more_pages(file: Any) -> bool:
    """Return whether there is a second page, perhaps a damaged one."""
    try:
        return bool(file.pages.is_multipage)
    except Exception:  # noqa: BLE001  # as in decode_image
        return True


def _encoded(text: Any) -> bytes:
    """Return a tag's text as bytes; empty if it is no text."""
    return text.encode() if isinstance(text, str) else text if isinstance(text, bytes) else b""
