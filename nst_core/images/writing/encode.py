"""Encoding an image to the bytes of its file, with metadata; and reading the metadata back."""

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from nst_core.images.files.credits import TAGS, Credits
from nst_core.images.writing.deep_png import with_pixels
from nst_core.images.writing.picture_file import Levels, PictureFile
from nst_core.options.file_formats import FILE_FORMATS

_METADATA_KEY = re.compile(r"[A-Za-z0-9_.-]{1,75}")
"""A valid key of the metadata."""
_COMMENT: Final = ExifTags.Base.UserComment
"""The EXIF tag that holds the metadata in a WebP or TIFF."""
_ASCII: Final = b"ASCII\0\0\0"
"""Prefix of an ASCII user comment in EXIF."""
_INCH: Final = 2
"""The resolution unit "inch" in EXIF and TIFF."""
_NO_CREDITS: Final = Credits()


def encode_image(
    levels: Levels, file: PictureFile, metadata: Mapping[str, str], credit: Credits = _NO_CREDITS
) -> bytes:
    """Encode an image. The same pixels and metadata always give the same bytes.

    Args:
        levels: the result of `file.levels`.
        file: the output format; jpeg keeps full colour resolution (4:4:4), which a lossy webp cannot (4:2:0), and webp
            keeps the colours of fully transparent pixels.
        metadata: any text under keys of 1 to 75 letters, digits, `_`, `.` or `-`. A JPEG holds about 64 kB.
        credit: the credits to write into the file's EXIF.

    Raises:
        ValueError: if the format cannot hold the levels or the metadata.
    """
    _check(levels, file, metadata)
    match file.file_format:  # mypy tells if a format is missing
        case "png":
            return _png(levels, file, metadata, _exif(file, credit))
        case "jpeg":
            return _jpeg(levels, file, metadata, _exif(file, credit))
        case "webp":
            return _webp(levels, file, metadata, _exif(file, credit))
        case "tiff":
            return _tiff(levels, file, metadata, credit)


def as_read(levels: Levels, file: PictureFile) -> Levels:
    """Return the levels that a reader of the file decodes; for a lossless format, the same levels."""
    if FILE_FORMATS[file.file_format].is_lossless:
        return levels
    # Not `decode_image`, as the limits on inputs do not apply to a pastiche, which may be thinner.
    image = Image.open(BytesIO(encode_image(levels, file, {})))
    return np.array(image.convert("RGB" if levels.shape[2] == 3 else "RGBA"))


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata that `encode_image` wrote into `data`; empty for any other bytes."""
    try:
        image = Image.open(BytesIO(data), formats=[name.upper() for name in FILE_FORMATS])
        if image.format == "PNG":
            return {str(key)[4:]: str(value) for key, value in image.info.items() if str(key).startswith("nst:")}
        comment = image.info.get("comment", b"") if image.format == "JPEG" else _user_comment(image)
        if isinstance(comment, bytes) and comment.startswith(b"nst:"):
            return dict(json.loads(comment.removeprefix(b"nst:")))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # as in decode_image
        return {}
    return {}


def _check(levels: Levels, file: PictureFile, metadata: Mapping[str, str]) -> None:
    """Refuse levels and metadata that would be written as a different image, or could not be written."""
    file_format, kind = FILE_FORMATS[file.file_format], np.uint8 if file.bit_depth == 8 else np.uint16
    channels = (3, 4) if file_format.has_alpha else (3,)
    if levels.ndim != 3 or levels.shape[2] not in channels or levels.dtype != kind:
        raise ValueError(
            f"a {file.file_format} of {file.bit_depth} bits: expected {np.dtype(kind)} of shape (height, width, "
            f"{' or '.join(map(str, channels))}), got {levels.dtype} of shape {levels.shape}"
        )
    if file.bit_depth not in file_format.bit_depths:
        able = " or ".join(map(str, file_format.bit_depths))
        raise ValueError(f"expected {able} bits in a {file.file_format}, got {file.bit_depth}")
    for key in metadata:
        if not _METADATA_KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r}: expected 1 to 75 letters, digits, _, . or -")


def _png(levels: Levels, file: PictureFile, metadata: Mapping[str, str], exif: Image.Exif) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for key, value in sorted(metadata.items()):
        chunks.add_itxt(f"nst:{key}", value)
    options = {"pnginfo": chunks, "icc_profile": file.embedded_profile, **_resolution(file), **_if_any(exif)}
    if file.bit_depth == 16:
        return with_pixels(_save(Image.new("RGB", (1, 1)), "PNG", **options), levels)
    return _save(Image.fromarray(levels), "PNG", **options)


def _jpeg(levels: Levels, file: PictureFile, metadata: Mapping[str, str], exif: Image.Exif) -> bytes:
    picture = Image.fromarray(levels)
    options = {
        "quality": file.jpeg_quality,
        "subsampling": 0,
        "icc_profile": file.embedded_profile,
        "comment": b"nst:" + json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False).encode(),
        **_resolution(file),
        **_if_any(exif),
    }
    encoded = _save(picture, "JPEG", **options)
    # The optimised file is some 10 % smaller, but Pillow's buffer for it has a byte per pixel, too little for noise.
    fits = len(encoded) <= picture.width * picture.height
    return _save(picture, "JPEG", optimize=True, **options) if fits else encoded


def _webp(levels: Levels, file: PictureFile, metadata: Mapping[str, str], exif: Image.Exif) -> bytes:
    exif.get_ifd(ExifTags.IFD.Exif)[_COMMENT] = _comment(metadata)
    options = {"quality": file.jpeg_quality, "method": 4, "exact": True, "icc_profile": file.embedded_profile}
    return _save(Image.fromarray(levels), "WEBP", exif=exif, **options)


def _tiff(levels: Levels, file: PictureFile, metadata: Mapping[str, str], credit: Credits) -> bytes:
    texts = {tag: text.encode() for field, tag in TAGS.items() if (text := getattr(credit, field))}
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        levels,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        extrasamples=["unassalpha"] if levels.shape[2] == 4 else None,
        iccprofile=file.embedded_profile,
        resolution=None if file.dpi is None else (file.dpi, file.dpi),
        resolutionunit=None if file.dpi is None else _INCH,
        software=False,
        metadata=None,
        extratags=[
            *((tag, 2, len(text) + 1, text, True) for tag, text in sorted(texts.items())),
            (_COMMENT, 7, None, _comment(metadata), True),
        ],
    )
    return buffer.getvalue()


def _save(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def _exif(file: PictureFile, credit: Credits) -> Image.Exif:
    """Return EXIF with credits and resolution, without orientation, as pixels are upright. Text is UTF-8, as usual."""
    exif = Image.Exif()
    for field, tag in TAGS.items():
        if text := getattr(credit, field):
            exif[tag] = text.encode()
    if file.dpi is not None:
        exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = float(file.dpi)
        exif[ExifTags.Base.ResolutionUnit] = _INCH
    return exif


def _if_any(exif: Image.Exif) -> dict[str, Any]:
    return {"exif": exif} if len(exif) else {}


def _resolution(file: PictureFile) -> dict[str, Any]:
    return {} if file.dpi is None else {"dpi": (file.dpi, file.dpi)}


def _comment(metadata: Mapping[str, str]) -> bytes:
    return _ASCII + b"nst:" + json.dumps(dict(metadata), sort_keys=True).encode()


def _user_comment(image: Image.Image) -> Any:
    """Return the user comment in EXIF; in a TIFF it is among the image's own tags."""
    exif = image.getexif()
    comment = exif.get(_COMMENT) or exif.get_ifd(ExifTags.IFD.Exif).get(_COMMENT)
    return comment.removeprefix(_ASCII) if isinstance(comment, bytes) else None
