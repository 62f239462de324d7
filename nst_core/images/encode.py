"""A picture -> the bytes of its file, with metadata; and the metadata back."""

import json
import re
import struct
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import Any, Literal

from PIL import Image, ImageCms, PngImagePlugin

_METADATA_KEY = re.compile(r"[A-Za-z0-9_.-]{1,75}")


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
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # else the second at which it was made
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
