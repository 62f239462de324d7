"""Bytes <-> 8-bit sRGB pictures. Knows nothing of files, storage or tensors; Pillow and numpy only.

What a camera, scanner, browser or paint program writes as JPEG, PNG, WebP, BMP, TIFF or GIF comes out as an
upright 8-bit sRGB picture, or as a `BadImage` that says why not. Limits are checked on the header, before any
pixel is decoded.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, PngImagePlugin

from nst_core.errors import BadImage

MAX_BYTES: Final = 50 * 1000 * 1000
MAX_PIXELS: Final = 50_000_000
MIN_SIDE_PX: Final = 16
MAX_RATIO: Final = 20
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""All that is ever parsed: Pillow's other parsers are less tested, and EPS would start Ghostscript."""

_PICTURE = "a JPEG, PNG, WebP, BMP, TIFF or GIF picture"
_DEPTH = "8 or 16 bits per channel"
_CONVERT = "Save it as PNG or JPEG."
_REPLACE = "Replace the file."
_SHRINK = "Make it smaller."

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
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TAG_SUBFILE, _TAG_BITS, _TAG_PHOTOMETRIC = 254, 258, 262
_METADATA_KEY = re.compile(r"[A-Za-z0-9_.-]{1,75}")


@dataclass(frozen=True)
class DecodedImage:
    """A picture that is ready to use.

    Attributes:
        picture: mode RGB, 8 bits per channel, upright, sRGB, opaque; its `info` is empty.
        notes: short sentences on what was changed or ignored and the user may want to know.
    """

    picture: Image.Image
    notes: tuple[str, ...]


def decode_image(data: bytes, name: str, *, enough_px: int | None = None) -> DecodedImage:
    """The picture in `data`, by its content alone: the extension plays no part.

    16-bit grey is divided by 257 and rounded. A colour profile is converted to sRGB. Transparency is laid
    over white. Of several frames or pages the first is taken.

    Args:
        data: a whole JPEG, PNG, WebP, BMP, TIFF or GIF file.
        name: what the user calls it, for the message.
        enough_px: a JPEG may come out at a half, quarter or eighth of its size, but not smaller than this many pixels
            a side: far cheaper where only a thumbnail is wanted.

    Raises:
        BadImage: `data` is not a usable picture. Nothing else is raised, but for MemoryError.
    """
    if len(data) > MAX_BYTES:
        limit, found = f"at most {MAX_BYTES / 1e6:.0f} MB", f"{len(data) / 1e6:.1f} MB"
        raise _bad(name, "too_large", limit, found, _SHRINK)
    # Training scripts like to switch this on. A picture that was cut short would then come out half grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    image = _open(data, name)
    _check_size(image.size, name)
    notes: list[str] = []
    try:
        _check_kind(image, name)
        if enough_px is not None:
            image.draft(None, (enough_px, enough_px))
        image.load()
        if image.format == "PNG":
            _finish_png(image, data, name)
        colour, alpha = _split_alpha(image, name)
        picture = _to_srgb(colour, image.info, notes)
        if alpha is not None and alpha.getextrema() != (255, 255):
            picture = _over_white(picture, alpha, notes)
        picture = _turn_upright(picture, image, notes)
        _note_more_frames(image, notes)  # last, as it moves a GIF on to its second frame
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types on damaged files
        raise _damaged(name, str(image.format), error) from error
    picture.info.clear()  # of the original's profile, EXIF and text, none is true any more
    return DecodedImage(picture, tuple(notes))


def _bad(name: str, reason: str, expected: str, found: str, advice: str) -> BadImage:
    return BadImage(name, reason, f"expected {expected}, found {found}. {advice}")


def _damaged(name: str, kind: str, error: Exception | None) -> BadImage:
    detail = " ".join(str(error or "no picture in it").split())
    return _bad(name, "truncated", f"a whole {kind}", f"it cut short or damaged ({detail})", _REPLACE)


def _too_many_pixels(name: str, pixels: int, sides: str = "") -> BadImage:
    limit, found = f"at most {MAX_PIXELS / 1e6:.0f} megapixels", f"{pixels / 1e6:.1f}{sides}"
    return _bad(name, "too_many_pixels", limit, found, _SHRINK)


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel decoded."""
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit is higher than ours but comes first; its message begins with how many there are.
        pixels = re.search(r"\d+", str(error))
        raise _too_many_pixels(name, int(pixels[0]) if pixels else MAX_PIXELS + 1) from error
    except Exception as error:
        raise _unreadable(data, name) from error


def _unreadable(data: bytes, name: str) -> BadImage:
    """Why no parser took `data`, judged by how it begins."""
    for kind, magic in _FOREIGN_MAGIC.items():
        if re.match(magic, data[:1024], re.DOTALL | re.IGNORECASE):
            return _bad(name, "unsupported_format", _PICTURE, kind, _CONVERT)
    for kind, magic in _OUR_MAGIC.items():
        if re.match(magic, data, re.DOTALL):
            return _unreadable_header(data, name, kind)
    is_html = re.match(rb"\W*(?:doctype )?html\b", data[:1024], re.IGNORECASE)
    found = "an empty file" if not data else "a web page" if is_html else "something else"
    return _bad(name, "not_an_image", _PICTURE, found, _REPLACE)


def _unreadable_header(data: bytes, name: str, kind: str) -> BadImage:
    """Why the parser for `kind` did not take `data`. Image.open keeps that to itself, so ask the parser."""
    try:
        Image.OPEN[kind][0](BytesIO(data), "")
    except Exception as error:  # noqa: BLE001  # parsers raise whatever they like
        if re.match("unknown pixel mode|cannot handle", str(error)):
            return _bad(name, "unsupported_mode", _DEPTH, f"a {kind} of a rare kind ({error})", _CONVERT)
        return _damaged(name, kind, error)
    return _damaged(name, kind, None)


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    sides = f"{width} x {height}"
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name, width * height, f" ({sides})")
    if min(size) < MIN_SIDE_PX:
        raise _bad(name, "too_small", f"at least {MIN_SIDE_PX} pixels a side", sides, "Use a larger picture.")
    if max(size) > MAX_RATIO * min(size):
        raise _bad(name, "too_elongated", f"sides of at most {MAX_RATIO} to 1", sides, "Crop it.")


def _check_kind(image: ImageFile.ImageFile, name: str) -> None:
    """Refuse what Pillow decodes, but not to what other programs show."""
    if image.mode == "F":
        found = "floating point numbers, any of which may be white"
        raise _bad(name, "unsupported_mode", _DEPTH, found, _CONVERT)
    if _tiff_tag(image, _TAG_SUBFILE, 0) & 1:
        found = "a TIFF that begins with a mere preview, as camera raw files do"
        raise _bad(name, "unsupported_format", _PICTURE, found, _CONVERT)


def _tiff_tag(image: Image.Image, tag: int, default: int) -> int:
    value: Any = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _finish_png(image: Image.Image, data: bytes, name: str) -> None:
    """What Pillow leaves undone: ask for the file's end, and bring the transparent colour to 8 bits."""
    if b"IEND\xaeB`\x82" not in data:
        raise _damaged(name, "PNG", EOFError("no IEND chunk"))
    colour, bit_depth = image.info.get("transparency"), data[24]
    if isinstance(colour, tuple) and bit_depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    if isinstance(colour, int) and image.mode == "L" and bit_depth in (2, 4):
        image.info["transparency"] = colour * 255 // (2**bit_depth - 1)


def _split_alpha(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The colours, 8 bits each, in mode L, RGB or another without alpha; the alpha, if any, in mode L."""
    if image.mode.startswith("I"):
        return _split_alpha_16_bit(image, name)
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("LA" if is_grey else "RGBA")
        return image.convert("L" if is_grey else "RGB"), image.getchannel("A")
    if is_grey or image.mode in ("P", "RGBX"):
        return image.convert("L" if is_grey else "RGB"), None
    return image, None


def _split_alpha_16_bit(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The same for grey in the modes I, I;16 and I;16B, which Pillow's own conversion clips at 255."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise _bad(name, "unsupported_mode", _DEPTH, f"whole numbers from {low} to {high}", _CONVERT)
    white = 4095 if _tiff_tag(image, _TAG_BITS, 16) == 12 else 65535  # both come in mode I;16
    table = ((np.arange(65536) * 510 + white) // (2 * white)).clip(0, 255).astype(np.uint8)
    if _tiff_tag(image, _TAG_PHOTOMETRIC, 1) == 0:  # "white is zero", which Pillow heeds up to 8 bits only
        table = 255 - table
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(table[values]), None if alpha is None else Image.fromarray(alpha)


def _to_srgb(colour: Image.Image, info: Mapping[Any, Any], notes: list[str]) -> Image.Image:
    """Mode RGB, through the file's own colour profile where that can be used."""
    if "icc_profile" in info:
        try:
            return _convert_profile(colour, info["icc_profile"] or b"")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            notes.append("broken or unfitting colour profile ignored")
    if colour.mode == "CMYK":
        notes.append("CMYK without a usable colour profile converted naively")
    return colour.convert("RGB")


def _convert_profile(colour: Image.Image, icc: bytes) -> Image.Image:
    """Mode RGB, sRGB. Raises ValueError, or what ImageCms raises, if the profile is broken or unfit."""
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    space = profile.profile.xcolor_space.strip()
    if space == "RGB" and colour.mode in ("L", "YCbCr"):  # a photograph made grey often keeps its RGB profile
        colour = colour.convert("RGB")
    if colour.mode != {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space):
        raise ValueError(f"a {space} profile in a picture of mode {colour.mode}")
    if space != "GRAY":
        return _convert(colour, profile, ImageCms.Flags.HIGHRESPRECALC)
    # From grey, lcms interpolates and misses dark tones by up to 10. So convert all 256 greys exactly.
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    colour.putpalette(_convert(ramp, profile, ImageCms.Flags.NOOPTIMIZE).tobytes())
    return colour.convert("RGB")


def _convert(colour: Image.Image, profile: ImageCms.ImageCmsProfile, flags: ImageCms.Flags) -> Image.Image:
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC  # with black point compensation: the way of photo editors
    flags |= ImageCms.Flags.BLACKPOINTCOMPENSATION
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, colour.mode, "RGB", intent, flags).apply(colour)


def _over_white(picture: Image.Image, alpha: Image.Image, notes: list[str]) -> Image.Image:
    notes.append("transparency laid over white")
    canvas = Image.new("RGB", picture.size, "white")
    canvas.paste(picture, mask=alpha)
    return canvas


def _turn_upright(picture: Image.Image, original: Image.Image, notes: list[str]) -> Image.Image:
    """Turned as the EXIF orientation of `original` says. Pillow has turned a TIFF, and dropped its tag."""
    try:
        transpose = _UPRIGHT.get(original.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  # as in decode_image; here the pixels are good all the same
        notes.append("broken EXIF data ignored")
        return picture
    return picture if transpose is None else picture.transpose(transpose)


def _note_more_frames(image: Image.Image, notes: list[str]) -> None:
    """Not by `n_frames`: to count, Pillow reads the whole file, for minutes if it was made for that."""
    try:
        has_more = bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # a second frame that is damaged
        has_more = True
    if has_more and image.format != "MPO":  # a photograph and its preview in one JPEG
        notes.append("several frames or pages: the first is used")


def encode_image(
    picture: Image.Image,
    *,
    file_format: Literal["png", "jpeg"],
    jpeg_quality: int,
    metadata: Mapping[str, str],
) -> bytes:
    """The file of an sRGB picture. The same pixels and metadata always give the same bytes.

    Args:
        picture: mode RGB; its `info` is not written.
        file_format: png is exact; jpeg has full colour resolution (4:4:4).
        jpeg_quality: 1 to 100; plays no part in a PNG.
        metadata: any text under keys of 1 to 75 letters, digits, `_`, `.` or `-`. A JPEG holds about 64 kB.

    Raises:
        ValueError: a picture of another mode, or metadata that the file cannot hold.
    """
    if picture.mode != "RGB":
        raise ValueError(f"expected a picture of mode RGB, got {picture.mode}")
    for key in metadata:
        if not _METADATA_KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r}: expected 1 to 75 letters, digits, _, . or -")
    if file_format == "png":
        return _save(picture, "PNG", pnginfo=_png_chunks(metadata))
    comment = b"nst:" + json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False).encode()
    options = {"quality": jpeg_quality, "subsampling": 0, "icc_profile": _srgb_profile(), "comment": comment}
    encoded = _save(picture, "JPEG", **options)
    # Optimised is some 10 % smaller, but Pillow reserves a byte per pixel for it and fails on noisy pictures.
    fits = len(encoded) <= picture.width * picture.height
    return _save(picture, "JPEG", optimize=True, **options) if fits else encoded


def _save(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    plain = picture.copy()
    plain.info = {}  # or Pillow writes some of it
    buffer = BytesIO()
    plain.save(buffer, file_format, **options)
    return buffer.getvalue()


def _png_chunks(metadata: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"sRGB", b"\0")  # perceptual intent
    for key, value in sorted(metadata.items()):
        chunks.add_itxt(f"nst:{key}", value)
    return chunks


@cache
def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = np.array([2000, 1, 1, 0, 0, 0], ">u2").tobytes()  # else the second at which it was made
    return bytes(profile)


def read_metadata(data: bytes) -> dict[str, str]:
    """The metadata that `encode_image` put into `data`; empty for any other bytes."""
    try:
        info = Image.open(BytesIO(data), formats=("PNG", "JPEG")).info
        comment = info.get("comment", b"")
        if isinstance(comment, bytes) and comment.startswith(b"nst:"):
            return dict(json.loads(comment.removeprefix(b"nst:")))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # as in decode_image
        return {}
    return {str(key)[4:]: str(value) for key, value in info.items() if str(key).startswith("nst:")}


def resize(picture: Image.Image, width: int, height: int) -> Image.Image:
    """`picture` at `width` x `height` pixels by Lanczos' filter; itself if it has that size already."""
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS)
