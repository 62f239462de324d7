"""Which formats are read, how files begin, and what a file is that no parser took."""

import re
from io import BytesIO
from typing import Final

from PIL import AvifImagePlugin, Image, ImageFile

from nst_core.errors import BadImage
from nst_core.images.files.boxes import brands
from nst_core.images.refusals import CONVERT, DEPTH, PICTURE, REPLACE, damaged, refused

FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP")
"""All that is ever parsed, with HEIF: Pillow's other parsers are less tested, and EPS would start Ghostscript."""
HEIF: Final = "HEIF"
"""Parsed by the package of the extra `heic`."""

# How files begin: patterns on bytes, in which `.` is any byte.
_OUR_MAGIC = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8[79]a",
    "JPEG2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
}
_OUR_BRANDS = {
    "AVIF": frozenset((b"avif", b"avis")),
    HEIF: frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")),
}
"""Of files that begin with a list of what they are: AVIF first, as its files are of the general brands of HEIF too."""
_FOREIGN_MAGIC = {
    "EPS or PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF-",
    "SVG": rb"(?:\xef\xbb\xbf)?\s*(?!.*<html)(?:<.*)?<svg\b",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "Photoshop": rb"8BPS",
    "OpenEXR": rb"v/1\x01",
    "ICO": rb"\0\0[\1\2]\0",
    "a camera raw file (CR3)": rb"....ftypcrx ",
    "a film": rb"....ftyp(?:isom|iso\d|mp4\d|avc1|M4V |qt  |3gp)|\x1aE\xdf\xa3",
}
_THREADS: Final = 2
"""Of the decoders of AVIF and HEIC: as many as a large machine has cores would each take memory of their own."""
_NO_HEIF = "Install the extra `heic` (package pillow-heif, see the README), or save it as JPEG."


def endings() -> frozenset[str]:
    """How the names of files of our formats end: `.jpg`, `.png`, ..."""
    ours = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
    return frozenset(ours | {".mpo", ".heic", ".heif", ".hif"})


def format_of(data: bytes) -> str | None:
    """The format that a file of ours begins like."""
    kind = next((kind for kind, magic in _OUR_MAGIC.items() if re.match(magic, data, re.DOTALL)), None)
    if kind is None and (found := brands(data)):
        kind = next((kind for kind, own in _OUR_BRANDS.items() if own & found), None)
    return kind


def open_picture(data: bytes, name: str) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel decoded.

    Raises:
        BadImage: it is none of ours.
    """
    try:
        if format_of(data) == HEIF:
            return _open_heif(data, name)
        AvifImagePlugin.DEFAULT_MAX_THREADS = _THREADS
        return Image.open(BytesIO(data), formats=FORMATS)
    except (MemoryError, BadImage):
        raise
    except Exception as error:
        raise _unreadable(data, name) from error


def _open_heif(data: bytes, name: str) -> ImageFile.ImageFile:
    try:
        import pillow_heif  # only where such a file comes: it loads a codec of some megabytes
    except ImportError as error:
        raise refused(name, "unsupported_format", PICTURE, "HEIC, which nothing here can read", _NO_HEIF) from error
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DECODE_THREADS = _THREADS
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def _unreadable(data: bytes, name: str) -> BadImage:
    """Why no parser took `data`, judged by how it begins."""
    if ours := format_of(data):
        return _unreadable_header(data, name, ours)
    for kind, magic in _FOREIGN_MAGIC.items():
        if re.match(magic, data[:1024], re.DOTALL | re.IGNORECASE):
            return refused(name, "unsupported_format", PICTURE, kind, CONVERT)
    is_html = re.match(rb"\W*(?:doctype )?html\b", data[:1024], re.IGNORECASE)
    found = "an empty file" if not data else "a web page" if is_html else "something else"
    return refused(name, "not_an_image", PICTURE, found, REPLACE)


def _unreadable_header(data: bytes, name: str, kind: str) -> BadImage:
    """Why the parser for `kind` did not take `data`. Image.open keeps that to itself, so ask the parser."""
    try:
        if kind == HEIF:
            _open_heif(data, name)
        else:
            Image.OPEN[kind][0](BytesIO(data), "")
    except Exception as error:  # noqa: BLE001  # parsers raise whatever they like
        if re.match("unknown pixel mode|cannot handle|unable to determine J2K image mode", str(error)):
            return refused(name, "unsupported_mode", DEPTH, f"a {kind} of a rare kind ({error})", CONVERT)
        return damaged(name, kind, error)
    return damaged(name, kind, None)
