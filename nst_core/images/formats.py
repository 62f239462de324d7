"""Which formats are read, how files begin, and what a file is that no parser took."""

import re
from io import BytesIO
from typing import Final

from PIL import Image

from nst_core.errors import BadImage
from nst_core.images.refusals import CONVERT, DEPTH, PICTURE, REPLACE, damaged, refused

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""All that is ever parsed: Pillow's other parsers are less tested, and EPS would start Ghostscript."""

# How files begin: patterns on bytes, in which `.` is any byte.
_OUR_MAGIC = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8[79]a",
}
_FOREIGN_MAGIC = {
    "EPS or PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF-",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(?:he[iv][cmsx]|mif1|msf1)",
    "SVG": rb"(?:\xef\xbb\xbf)?\s*(?!.*<html)(?:<.*)?<svg\b",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "Photoshop": rb"8BPS",
    "OpenEXR": rb"v/1\x01",
    "ICO": rb"\0\0[\1\2]\0",
}


def endings() -> frozenset[str]:
    """How the names of files of our formats end: `.jpg`, `.png`, ..."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


def format_of(data: bytes) -> str | None:
    """The format that a file of ours begins like."""
    return next((kind for kind, magic in _OUR_MAGIC.items() if re.match(magic, data, re.DOTALL)), None)


def unreadable(data: bytes, name: str) -> BadImage:
    """Why no parser took `data`, judged by how it begins."""
    for kind, magic in _FOREIGN_MAGIC.items():
        if re.match(magic, data[:1024], re.DOTALL | re.IGNORECASE):
            return refused(name, "unsupported_format", PICTURE, kind, CONVERT)
    if ours := format_of(data):
        return _unreadable_header(data, name, ours)
    is_html = re.match(rb"\W*(?:doctype )?html\b", data[:1024], re.IGNORECASE)
    found = "an empty file" if not data else "a web page" if is_html else "something else"
    return refused(name, "not_an_image", PICTURE, found, REPLACE)


def _unreadable_header(data: bytes, name: str, kind: str) -> BadImage:
    """Why the parser for `kind` did not take `data`. Image.open keeps that to itself, so ask the parser."""
    try:
        Image.OPEN[kind][0](BytesIO(data), "")
    except Exception as error:  # noqa: BLE001  # parsers raise whatever they like
        if re.match("unknown pixel mode|cannot handle", str(error)):
            return refused(name, "unsupported_mode", DEPTH, f"a {kind} of a rare kind ({error})", CONVERT)
        return damaged(name, kind, error)
    return damaged(name, kind, None)
