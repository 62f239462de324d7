"""Makes image files of every kind, most by Pillow and some by hand; has helpers that decode them, and their notes."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nst_core.errors import BadImage
from nst_core.images import decode_image

Pixels = NDArray[Any]
Bytes = NDArray[np.uint8]
WHITE_NOTE = "transparency laid over white"
FRAMES_NOTE = "several frames or pages: the first is used"
PROFILE_NOTE = "broken or unfitting colour profile ignored"
CMYK_NOTE = "CMYK without a usable colour profile converted naively"


def noise(height: int = 40, width: int = 64, channels: int = 3, seed: int = 0) -> Bytes:
    """Return random bytes, shape (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(picture: Image.Image | Pixels, file_format: str, **options: Any) -> bytes:
    """Return the file that Pillow writes of an image or of an array."""
    buffer = BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Bytes:
    """Return the decoded pixels of a file, and check that it has no notes."""
    result = decode_image(data, "a.png")
    assert result.notes == ()
    return np.asarray(result.picture)


def refusal(data: bytes) -> BadImage:
    """Return the error with which a file is refused."""
    with pytest.raises(BadImage) as caught:
        decode_image(data, "cats/tom.png")
    return caught.value


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_file(size: tuple[int, int], depth: int, colour_type: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """Return a PNG written by hand, for bit depths and transparent colours that Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_file(
    size: tuple[int, int],
    bits: tuple[int, ...],
    photometric: int,
    content: bytes,
    order: str = "<",
    **more: Any,
) -> bytes:
    """Return an uncompressed TIFF of one strip, written by hand.

    `more` may have `extra_sample`, `sample_format`, `subfile` and `palette`.
    """
    tags: dict[int, tuple[int, ...]] = {
        254: (more.get("subfile", 0),),
        256: (size[0],),
        257: (size[1],),
        258: bits,
        259: (1,),
        262: (photometric,),
        273: (8,),
        277: (len(bits),),
        278: (size[1],),
        279: (len(content),),
        **({320: more["palette"]} if "palette" in more else {}),
        **({338: (more["extra_sample"],)} if "extra_sample" in more else {}),
        339: (more.get("sample_format", 1),) * len(bits),
    }
    content += b"\0" * (len(content) % 2)
    directory, overflow = struct.pack(order + "H", len(tags)), b""
    end = 8 + len(content) + 2 + 12 * len(tags) + 4
    for tag, values in tags.items():
        is_long = tag in (273, 279)
        packed = struct.pack(f"{order}{len(values)}{'I' if is_long else 'H'}", *values)
        directory += struct.pack(order + "HHI", tag, 4 if is_long else 3, len(values))
        if len(packed) > 4:
            directory += struct.pack(order + "I", end + len(overflow))
            overflow += packed
        else:
            directory += packed.ljust(4, b"\0")
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(content))
    return start + content + directory + b"\0" * 4 + overflow


def tiff_by_tifffile(values: Pixels, *, in_planes: bool = False, **options: Any) -> bytes:
    """Return the TIFF that tifffile writes of values of shape (height, width, channels) or (height, width)."""
    buffer = BytesIO()
    if in_planes:
        values, options = np.moveaxis(values, -1, 0), options | {"planarconfig": "separate"}
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def over_white(colour: Pixels, alpha: Pixels) -> Pixels:
    """Return colours composed over white by the definition, rounded half up; `alpha` has the shape (H, W)."""
    a = alpha[..., None].astype(np.int64)
    return (colour.astype(np.int64) * a * 2 + 255 * (255 - a) * 2 + 255) // 510


def grey_ramp_16() -> Pixels:
    """Return every 16-bit value once, shape (256, 256)."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


def alpha_table() -> tuple[Bytes, Bytes]:
    """Return every 8-bit level with every alpha: colours (256, 256, 3) that differ by channel, and alpha (256, 256)."""
    alpha, grey = np.mgrid[:256, :256].astype(np.uint8)
    return np.stack([grey, 255 - grey, grey ^ 85], -1), alpha


def three_frames() -> list[Image.Image]:
    return [Image.fromarray(noise(seed=seed)).quantize(16).convert("RGB") for seed in range(3)]


STILLS: dict[str, bytes] = {
    "jpeg": save(noise(), "JPEG"),
    "progressive jpeg": save(noise(), "JPEG", progressive=True),
    "cmyk jpeg": save(Image.fromarray(noise()).convert("CMYK"), "JPEG"),
    "png": save(noise(), "PNG"),
    "16-bit png": save(grey_ramp_16(), "PNG"),
    "palette png": save(Image.fromarray(noise()).quantize(256), "PNG"),
    "webp": save(noise(), "WEBP"),
    "lossless webp": save(noise(channels=4), "WEBP", lossless=True),
    "gif": save(Image.fromarray(noise()).quantize(256), "GIF"),
    "bmp": save(noise(), "BMP"),
    "tiff": save(noise(), "TIFF"),
    "lzw tiff": save(noise(), "TIFF", compression="tiff_lzw"),
    "float tiff": tiff_by_tifffile(noise() / np.float32(255), photometric="rgb"),
    "float tiff of strips": tiff_by_tifffile(noise() / np.float32(255), photometric="rgb", rowsperstrip=9),
    "hand-made tiff": tiff_file((64, 40), (8, 8, 8), 2, noise().tobytes()),
}
