"""The formats that are read, the signatures of files, and identifying files that no parser accepts."""

import re
from io import BytesIO
from typing import Final

from PIL import AvifImagePlugin, Image, ImageFile

from nst_core.errors import BadImage
from nst_core.images.files.boxes import brands
from nst_core.images.refusals import CONVERT, DEPTH, PICTURE, REPLACE, damaged, refused

FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP")
"""All formats that are ever parsed, except HEIF: Pillow's other parsers are less tested, and the one for EPS would
start Ghostscript."""
HEIF: Final = "HEIF"
"""Format that is parsed by the package of the extra `heic`."""

# Signatures at the beginning of files: patterns on bytes, in which `.` is any byte.
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
"""Brands of files that begin with a list of brands. AVIF comes first, because its files also have the general brands of
HEIF."""
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
"""Signatures of formats that are not read, so that a refusal can name them."""
_THREADS: Final = 2
"""Threads of the AVIF and HEIC decoders: one per core of a large machine would each need memory of its own."""
_NO_HEIF = "Install the extra `heic` (package pillow-heif, see the README), or save it as JPEG."
"""The advice when the package for HEIF is missing."""


def endings() -> frozenset[str]:
    """Return the extensions of files in our formats: `.jpg`, `.png`, ..."""
    extensions = {
        extension for extension, image_format in Image.registered_extensions().items() if image_format in FORMATS
    }
    return frozenset(extensions | {".mpo", ".heic", ".heif", ".hif"})


def format_of(data: bytes) -> str | None:
    """Return the format of ours whose signature a file begins with, or None."""
    kind = next((kind for kind, magic in _OUR_MAGIC.items() if re.match(magic, data, re.DOTALL)), None)
    if kind is None and (found := brands(data)):
        kind = next((kind for kind, own in _OUR_BRANDS.items() if own & found), None)
    return kind


def open_picture(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open an image: its header is read, but no pixel is decoded.

    Raises:
        BadImage: if it is of none of our formats.
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
    """Open a HEIF image with the package of the extra `heic`."""
    try:
        import pillow_heif  # only for such a file, as it loads a codec of some megabytes
    except ImportError as error:
        raise refused(name, "missing_decoder", PICTURE, "HEIC, which nothing here can read", _NO_HEIF) from error
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DECODE_THREADS = _THREADS
    image: ImageFile.ImageFile = pillow_heif.HeifImageFile(BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def _unreadable(data: bytes, name: str) -> BadImage:
    """Return the error for a file that no parser accepts, judged by its first bytes."""
    if kind_of_ours := format_of(data):
        return _unreadable_header(data, name, kind_of_ours)
    for kind, magic in _FOREIGN_MAGIC.items():
        if re.match(magic, data[:1024], re.DOTALL | re.IGNORECASE):
            return refused(name, "unsupported_format", PICTURE, kind, CONVERT)
    is_html = re.match(rb"\W*(?:doctype )?html\b", data[:1024], re.IGNORECASE)
    found = "an empty file" if not data else "a web page" if is_html else "something else"
    return refused(name, "not_an_image", PICTURE, found, REPLACE)


def _unreadable_header(data: bytes, name: str, kind: str) -> BadImage:
    """Return the error for a file that the parser for `kind` rejects.

    Image.open does not report the parser's error, so the parser is called directly.
    """
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
