"""Large images are decoded reduced or in bands; the result equals that of the whole image, reduced afterwards.

The limits are lowered here; `tests/benchmarks/decoding.py` measures at full size.
"""

import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from nst_core.errors import BadImage
from nst_core.images import DecodedImage, decode_image, resize
from nst_core.images.reading import pieces, png_bands, reduction, tiff_bands
from nst_core.images.reading.reduction import HALVINGS, WHOLE_FACTORS, factor_of
from tests.icc import ADOBE_TO_XYZ, SRGB_TO_XYZ, cmyk_profile, rgb_profile

SIZE = 331, 277
"""Width and height, both prime, so that no factor divides them."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limit for whole images from 50 megapixels to 20,000 pixels, and limit every piece to a few rows."""
    for module in (reduction, pieces):
        monkeypatch.setattr(module, "WHOLE_PIXELS", 20_000)
    monkeypatch.setattr(reduction, "MOST_HELD_PIXELS", 50_000)
    monkeypatch.setattr(pieces, "_PIECE_PIXELS", 331 * 7)
    monkeypatch.setattr(png_bands, "_BAND_BYTES", 10_000)
    monkeypatch.setattr(tiff_bands, "_BAND_PIXELS", 331 * 20)
    monkeypatch.setattr(tiff_bands, "_MOST_PIXELS", 331 * 100)


def photograph(channels: int = 3, size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """Return an image with soft slopes, hard edges and some grain, uint8."""
    width, height = size
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = [127 + 90 * np.sin(x / (9 + 7 * c) + c) * np.cos(y / (13 + 5 * c)) for c in range(channels)]
    picture = np.stack(base, -1) + rng.normal(0, 6, (height, width, channels))
    picture[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, channels)
    return picture.clip(0, 255).astype(np.uint8)


def deep(channels: int) -> np.ndarray:
    """Return the same image in 16 bits."""
    values = photograph(channels).astype(np.uint16) * 257
    return values ^ np.random.default_rng(1).integers(0, 256, values.shape).astype(np.uint16)


def saved(pixels: np.ndarray | Image.Image, file_format: str, mode: str | None = None, **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels.squeeze())
    buffer = BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, file_format, **options)
    return buffer.getvalue()


def png(pixels: np.ndarray, depth: int = 8, colour_type: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG of any bit depth, written by hand, whose rows use the five filters in turn."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = pixels.shape
    if depth < 8:
        bits = np.unpackbits(pixels[..., 0].astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    else:
        rows = pixels.astype(">u2" if depth == 16 else np.uint8).view(np.uint8).reshape(height, -1)
    step = max(1, depth * channels // 8)
    raw = np.zeros((height + 1, rows.shape[1] + step), np.int64)
    raw[1:, step:] = rows
    packed = bytearray()
    for y in range(1, height + 1):
        kind = (y - 1) % 5 if y > 1 else 1
        left, up, corner = raw[y, :-step], raw[y - 1, step:], raw[y - 1, :-step]
        guess = left + up - corner
        distances = np.stack([abs(guess - left), abs(guess - up), abs(guess - corner)])
        paeth = np.choose(distances.argmin(axis=0), [left, up, corner])
        predicted = (0 * left, left, up, (left + up) // 2, paeth)[kind]
        packed += bytes((kind,)) + ((raw[y, step:] - predicted) % 256).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(bytes(packed))
    pieces_of_it = b"".join(chunk(b"IDAT", body[at : at + 5000]) for at in range(0, len(body), 5000))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    return start + pieces_of_it + chunk(b"IEND", b"")


def palette_chunk(colours: int) -> bytes:
    content = np.random.default_rng(3).integers(0, 256, 3 * colours).astype(np.uint8).tobytes()
    return struct.pack(">I", len(content)) + b"PLTE" + content + struct.pack(">I", zlib.crc32(b"PLTE" + content))


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def difference(reduced: DecodedImage, whole: Image.Image) -> np.ndarray:
    """Return the absolute difference between both images, each resized to 50 x 42 pixels."""
    one, other = resize(whole, 50, 42), resize(reduced.picture, 50, 42, reduced.box)
    return np.abs(np.asarray(one).astype(int) - np.asarray(other))


ADOBE = rgb_profile(ADOBE_TO_XYZ, 2.2)
LINEAR = rgb_profile(SRGB_TO_XYZ, 1.0)

EXACT: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(photograph()),
    "png with alpha": lambda: png(photograph(4), colour_type=6),
    "png of grey": lambda: png(photograph(1), colour_type=0),
    "png of grey with alpha": lambda: png(photograph(2), colour_type=4),
    "png of 16 bits": lambda: png(deep(3), 16),
    "png of 16 bits with alpha": lambda: png(deep(4), 16, 6),
    "png of 16 bits, grey": lambda: png(deep(1), 16, 0),
    "png of 16 bits, grey with alpha": lambda: png(deep(2), 16, 4),
    "png of a palette": lambda: png(photograph(1), 8, 3, palette_chunk(256)),
    "png of a small palette": lambda: png(photograph(1) >> 4, 4, 3, palette_chunk(16)),
    "png of one bit": lambda: png(photograph(1) >> 7, 1, 0),
    "png of two bits": lambda: png(photograph(1) >> 6, 2, 0),
    "png in a colour space": lambda: saved(photograph(), "PNG", icc_profile=ADOBE),
    "png in linear light": lambda: saved(photograph(), "PNG", icc_profile=LINEAR),
    "gif": lambda: saved(photograph(), "GIF"),
    "bmp": lambda: saved(photograph(), "BMP"),
    "webp": lambda: saved(photograph(), "WEBP", lossless=True),
    "strips": lambda: tiff(photograph(), rowsperstrip=7),
    "deflated strips": lambda: tiff(photograph(), rowsperstrip=8, compression="zlib", predictor=True),
    "lzw strips": lambda: saved(photograph(), "TIFF", compression="tiff_lzw"),
    "jpeg strips": lambda: saved(photograph(), "TIFF", compression="jpeg"),
    "packbits": lambda: saved(photograph(), "TIFF", compression="packbits"),
    "one strip": lambda: tiff(photograph(), rowsperstrip=277),
    "one deflated strip": lambda: tiff(photograph(), rowsperstrip=277, compression="zlib", predictor=True),
    "one deflated strip of 16 bits": lambda: tiff(deep(3), rowsperstrip=277, compression="zlib", predictor=True),
    "two large strips": lambda: tiff(photograph(), rowsperstrip=150),
    "tiles": lambda: tiff(photograph(), tile=(32, 48)),
    "deflated tiles": lambda: tiff(photograph(), tile=(16, 16), compression="zlib", predictor=True),
    "deflated tiles of 16 bits": lambda: tiff(deep(3), tile=(16, 32), compression="zlib"),
    "planes": lambda: tiff(
        np.moveaxis(photograph(), -1, 0), planarconfig="separate", photometric="rgb", rowsperstrip=9, compression="zlib"
    ),
    "planes in tiles": lambda: tiff(
        np.moveaxis(photograph(), -1, 0), planarconfig="separate", photometric="rgb", tile=(32, 32), compression="zlib"
    ),
    "big-endian": lambda: tiff(deep(3), byteorder=">", rowsperstrip=10),
    "BigTIFF": lambda: tiff(photograph(), bigtiff=True, rowsperstrip=10),
    "one-bit tiff": lambda: saved(photograph(1), "TIFF", "1", compression="group4"),
    "grey of 16 bits, strips": lambda: tiff(deep(1)[..., 0], rowsperstrip=10, compression="zlib"),
    "white is zero": lambda: tiff(deep(1)[..., 0], photometric="miniswhite", rowsperstrip=10, compression="zlib"),
    "tiff with alpha": lambda: tiff(photograph(4), extrasamples=["unassalpha"], rowsperstrip=10, compression="zlib"),
    "cmyk tiff": lambda: tiff(photograph(4), photometric="separated", iccprofile=cmyk_profile(), rowsperstrip=10),
    "tiff in a colour space": lambda: tiff(deep(3), iccprofile=ADOBE, rowsperstrip=10),
}


@pytest.mark.parametrize("kind", EXACT)
def test_an_image_in_bands_equals_the_whole_image_reduced(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kind: str
) -> None:
    """Each pixel of the reduced image is the rounded mean of 3 x 3 pixels of the whole image, up to the last row."""
    data = file_of(kind)
    whole = decode_image(data, "a")
    request.getfixturevalue("small")

    reduced = decode_image(data, "a")

    assert reduced.picture.size == (111, 93)
    assert reduced.notes == whole.notes
    assert (np.asarray(reduced.picture) == np.asarray(whole.picture.reduce(3))).all()


@pytest.mark.parametrize(
    "kind", [name for name in EXACT if name.startswith("png") or "strip" in name or "tile" in name]
)
def test_no_large_png_or_tiff_is_decoded_whole(monkeypatch: pytest.MonkeyPatch, small: None, kind: str) -> None:
    """A large PNG or TIFF is unpacked a few rows at a time: Pillow never loads half of its pixels at once."""
    monkeypatch.setattr(png_bands, "_BAND_BYTES", 1000)
    data, largest = file_of(kind), 0
    load = Image.Image.load

    def watched(image: Image.Image) -> Any:
        nonlocal largest
        largest = max(largest, image.width * image.height)
        return load(image)

    monkeypatch.setattr(Image.Image, "load", watched)
    decode_image(data, "a")

    assert 0 < largest < SIZE[0] * SIZE[1] / 2


def test_kept_alpha_weights_the_reduced_colours(request: pytest.FixtureRequest) -> None:
    """If alpha is kept, reduced colours are means weighted by alpha, and the reduced alpha is a plain mean."""
    colour, alpha = photograph(), np.full((277, 331, 1), 255, np.uint8)
    colour[:61, :200], alpha[:61, :200] = (255, 0, 255), 0
    data = saved(np.dstack([colour, alpha]), "PNG")
    request.getfixturevalue("small")

    reduced = decode_image(data, "a", keep_alpha=True)

    blocks = [part[:276, :330].reshape(92, 3, 110, 3, -1).astype(float) for part in (colour, alpha)]
    seen = blocks[1].sum((1, 3))
    expected = (blocks[0] * blocks[1]).sum((1, 3)) / np.maximum(seen, 1)
    assert reduced.alpha is not None
    assert np.abs(np.asarray(reduced.alpha)[:92, :110, None] - seen / 9).max() <= 1
    off = np.abs(np.asarray(reduced.picture)[:92, :110] - expected)
    assert off[seen[..., 0] == 9 * 255].max() <= 1
    partly = (seen[..., 0] > 0) & (seen[..., 0] < 9 * 255)
    assert partly.sum() > 50 and off[partly].mean() < 10  # with the transparent magenta it would be far off
    assert (np.asarray(reduced.picture)[:20, :66] != (255, 0, 255)).any(-1).all()


STORED_AS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF 2.3, tag 274: where row 0 and column 0 belong
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_image_in_bands_is_turned_upright(request: pytest.FixtureRequest, kind: str, orientation: int) -> None:
    """An image that is decoded in bands is turned upright as its EXIF says, and both sides are rounded up."""
    upright = photograph()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = saved(np.ascontiguousarray(STORED_AS[orientation](upright)), kind, exif=exif)
    size = decode_image(data, "a").picture.size
    request.getfixturevalue("small")

    reduced = decode_image(data, "a")

    assert size == reduced.size == SIZE
    assert reduced.picture.size == (111, 93)
    assert difference(reduced, Image.fromarray(upright)).mean() < 0.5


DECODED_SMALLER: dict[str, tuple[Callable[[], bytes], float]] = {
    "jpeg": (lambda: saved(photograph(), "JPEG", quality=92), 0.5),
    "progressive": (lambda: saved(photograph(), "JPEG", quality=92, progressive=True), 0.5),
    "grey": (lambda: saved(photograph(1), "JPEG", quality=92), 0.5),
    "full colour": (lambda: saved(photograph(), "JPEG", quality=92, subsampling=0), 0.5),
    "CMYK": (lambda: saved(photograph(), "JPEG", "CMYK", quality=92), 0.5),
    "jpeg 2000": (lambda: saved(photograph(), "JPEG2000"), 1.0),
    "jpeg 2000 of tiles": (lambda: saved(photograph(), "JPEG2000", tile_size=(128, 128)), 1.0),
    "jpeg 2000 of 16 bits": (lambda: saved(deep(1)[..., 0], "JPEG2000"), 1.0),
}


@cache  # shared by tests, as some take long to encode
def file_of(kind: str) -> bytes:
    """Return the file of a name in `EXACT` or `DECODED_SMALLER`."""
    return EXACT[kind]() if kind in EXACT else DECODED_SMALLER[kind][0]()


@pytest.mark.parametrize("kind", DECODED_SMALLER)
def test_an_image_decoded_smaller_is_close_to_the_whole_image(request: pytest.FixtureRequest, kind: str) -> None:
    """A JPEG or JPEG 2000 decoded smaller, then resized, differs little from the whole image resized.

    The mean difference is at most half a level; for JPEG 2000, whose filters differ, it is at most one.
    """
    data, tolerance = file_of(kind), DECODED_SMALLER[kind][1]
    whole = decode_image(data, "a").picture
    request.getfixturevalue("small")

    reduced = decode_image(data, "a", needed_px=80)

    assert 160 <= reduced.picture.width < 331
    assert reduced.size == SIZE
    assert difference(reduced, whole).mean() <= tolerance
    assert difference(reduced, whole).max() <= 12


@pytest.mark.parametrize("needed", [None, 1, 40, 80, 110, 111, 165, 166, 200, 331, 1000])
@pytest.mark.parametrize("kind", ["png", "strips", "jpeg", "jpeg 2000", "webp"])
def test_the_long_edge_is_never_shorter_than_needed(
    monkeypatch: pytest.MonkeyPatch, small: None, kind: str, needed: int | None
) -> None:
    """The decoded long edge has the needed length, or the file's own if that is shorter; 80 px are doubled."""
    monkeypatch.setattr(reduction, "MEMORY_BYTES", 10**12)
    data = file_of(kind)

    width = decode_image(data, "a", needed_px=needed).picture.width

    assert width >= min(331, needed or 0)
    if needed == 80:
        assert width >= 160


def test_factor_of_by_hand() -> None:
    """A side of 17320 px (300 megapixels) is divided by 3, by 2 if 4000 px are needed, and not at all for 8661 px."""
    side = (17320, 17320)

    assert [factor_of(side, needed, WHOLE_FACTORS) for needed in (None, 512, 2886, 4000, 8660, 8661)] == [
        3,
        3,
        3,
        2,
        2,
        1,
    ]
    assert [factor_of(side, needed, HALVINGS) for needed in (None, 512, 2165, 2166, 8660, 8661)] == [4, 4, 4, 2, 2, 1]
    assert factor_of((7071, 7071), 512, WHOLE_FACTORS) == 1
    assert factor_of((17320, 17320), 512, (1,)) == 1


def test_an_image_beyond_the_memory_limit_is_refused(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    """An image whose decoding would exceed the memory limit is refused, and the message has the arithmetic."""
    monkeypatch.setattr(reduction, "MEMORY_BYTES", 1_000_000)
    monkeypatch.setattr(reduction, "_FIXED_BYTES", 0)
    data = saved(photograph(), "WEBP")

    with pytest.raises(BadImage) as caught:
        decode_image(data, "a.webp")

    assert caught.value.reason == "too_costly"
    assert re.fullmatch(
        r"a\.webp: expected an image that is decoded in 0\.001 GB of memory, found one that takes 0\.001[5-9]\d* GB: "
        r"0 megapixels of 16 bytes while decoding, 0 megapixels of 8 bytes, 0 MB of its file and 0 MB beside\. "
        r"Make it smaller\.",
        str(caught.value),
    )


@pytest.mark.parametrize("kind", ["png", "one deflated strip", "deflated strips", "tiles", "one strip"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_damaged_large_file_is_refused(small: None, kind: str, share: float) -> None:
    """A large file that is cut short, or has pixels that cannot be unpacked, is refused, as a small one is."""
    whole = file_of(kind)
    broken = bytearray(whole)
    middle = len(whole) // 2
    broken[middle : middle + 400] = b"\xff" * 400

    with pytest.raises(BadImage) as caught:
        decode_image(whole[: int(share * len(whole))], "a")
    assert caught.value.reason == "truncated"
    if kind in ("png", "deflated strips", "one deflated strip"):
        with pytest.raises(BadImage, match="cut short or damaged"):
            decode_image(bytes(broken), "a")
