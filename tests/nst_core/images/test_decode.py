"""images: every kind of file that people send, with the pixels it must give or the reason to refuse it."""

import pickle
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from icc import (
    ADOBE_TO_XYZ,
    D50,
    SRGB_TO_XYZ,
    cmyk_corners,
    cmyk_profile,
    grey_profile,
    rgb_profile,
    srgb_from_lab,
    srgb_from_xyz,
)
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile

import nst_core
from nst_core.errors import BadImage
from nst_core.images import MAX_BYTES, decode_image, resize
from nst_core.images.colour.srgb import split_alpha, to_srgb
from nst_core.images.files.credits import Credits

Pixels = NDArray[Any]
Bytes = NDArray[np.uint8]
WHITE_NOTE = "transparency laid over white"
FRAMES_NOTE = "several frames or pages: the first is used"
PROFILE_NOTE = "broken or unfitting colour profile ignored"
CMYK_NOTE = "CMYK without a usable colour profile converted naively"


# ---- How the files are made


def noise(height: int = 40, width: int = 64, channels: int = 3, seed: int = 0) -> Bytes:
    """Random bytes, (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(picture: Image.Image | Pixels, file_format: str, **options: Any) -> bytes:
    """The file that Pillow makes of a picture or of an array."""
    buffer = BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Bytes:
    """The pixels of a file that must be accepted without a note."""
    result = decode_image(data, "a.png")
    assert result.notes == ()
    return np.asarray(result.picture)


def refusal(data: bytes) -> BadImage:
    """The error of a file that must be refused."""
    with pytest.raises(BadImage) as caught:
        decode_image(data, "cats/tom.png")
    return caught.value


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_file(size: tuple[int, int], depth: int, colour_type: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """A PNG written by hand: bit depths and transparent colours that Pillow does not write."""
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
    """An uncompressed TIFF of one strip, written by hand.

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


# ---- Colour science


def over_white(colour: Pixels, alpha: Pixels) -> Pixels:
    """The definition, rounded half up; `alpha` of shape (H, W)."""
    a = alpha[..., None].astype(np.int64)
    return (colour.astype(np.int64) * a * 2 + 255 * (255 - a) * 2 + 255) // 510


# ---- Pictures as they come


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_rgb_is_exact(file_format: str, options: dict[str, Any]) -> None:
    """An 8-bit RGB picture of a lossless format comes out pixel for pixel, with no note."""
    pixels = noise()

    assert (pixels == decoded(save(pixels, file_format, **options))).all()


def test_jpeg_is_close() -> None:
    """Flat patches in a JPEG of quality 100 come out within 2 of what went in."""
    pixels = noise(4, 4).repeat(16, axis=0).repeat(16, axis=1)

    assert np.abs(decoded(save(pixels, "JPEG", quality=100, subsampling=0)).astype(int) - pixels).max() <= 2


def test_result_is_plain() -> None:
    """The picture is RGB and carries nothing of the file it came from."""
    data = save(noise(), "PNG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2), dpi=(300, 300))

    result = decode_image(data, "a.png")

    assert (result.picture.mode, result.picture.info, type(result.picture)) == ("RGB", {}, Image.Image)


def test_extension_plays_no_part() -> None:
    """A PNG that is named like a GIF is read as the PNG it is."""
    pixels = noise()

    assert (pixels == np.asarray(decode_image(save(pixels, "PNG"), "tom.gif").picture)).all()


STORED_AS: dict[int, Callable[[Pixels], Pixels]] = {  # EXIF 2.3, tag 274: where row 0 and column 0 belong
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
@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_deflate"})],
)
def test_orientation(file_format: str, options: dict[str, Any], orientation: int) -> None:
    """A picture stored in any of EXIF's eight orientations comes out upright."""
    upright = noise(24, 40)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = np.ascontiguousarray(STORED_AS[orientation](upright))

    assert (upright == decoded(save(stored, file_format, exif=exif, **options))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg(orientation: int) -> None:
    """A JPEG is turned too: turned back, it has the pixels of the same file without EXIF."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(noise(24, 40))

    turned = decoded(save(stored, "JPEG", exif=exif))

    assert (STORED_AS[orientation](turned) == decoded(save(stored, "JPEG"))).all()


def test_upright_quarter_turn_by_hand() -> None:
    """Orientation 6, a phone held upright: what is stored on the left is shown on top."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, :5, 0] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6

    upright = decoded(save(stored, "PNG", exif=exif))

    assert upright.shape == (30, 20, 3)
    assert (upright[:5, :, 0] == 255).all() and (upright[5:, :, 0] == 0).all()


def test_broken_exif_is_ignored() -> None:
    """EXIF data that cannot be read spoils no picture, and is noted."""
    pixels = noise()

    result = decode_image(save(pixels, "PNG", exif=b"Exif\0\0garbage"), "a.png")

    assert (pixels == np.asarray(result.picture)).all()
    assert result.notes == ("broken EXIF data ignored",)


# ---- 1, 2, 4, 12 and 16 bits, palettes


def grey_ramp_16() -> Pixels:
    """Every 16-bit value once, (256, 256)."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


RAMP_FILES: dict[str, Callable[[Pixels], bytes]] = {
    "png": lambda ramp: save(ramp, "PNG"),
    "little-endian tiff": lambda ramp: save(ramp, "TIFF"),
    "compressed tiff": lambda ramp: save(ramp, "TIFF", compression="tiff_deflate"),
    "big-endian tiff": lambda ramp: tiff_file((256, 256), (16,), 1, ramp.astype(">u2").tobytes(), ">"),
    "32-bit tiff": lambda ramp: save(Image.fromarray(ramp.astype(np.int32)), "TIFF"),
}


@pytest.mark.parametrize("kind", RAMP_FILES)
def test_16_bit_grey(kind: str) -> None:
    """Each of the 65536 values v becomes v/257, rounded: nothing is clipped."""
    ramp = grey_ramp_16()

    pixels = decoded(RAMP_FILES[kind](ramp))

    assert (pixels == np.rint(ramp / 257)[..., None]).all()


def test_16_bit_signed_tiff() -> None:
    """Signed 16-bit grey is on the same scale; a negative value, which nothing explains, is refused."""
    ramp = (grey_ramp_16() // 2).astype("<i2")

    assert (
        decoded(tiff_file((256, 256), (16,), 1, ramp.tobytes(), sample_format=2))[..., 0] == np.rint(ramp / 257)
    ).all()
    ramp[0, 0] = -1
    assert refusal(tiff_file((256, 256), (16,), 1, ramp.tobytes(), sample_format=2)).reason == "unsupported_mode"


def test_16_bit_white_is_zero() -> None:
    """In a TIFF whose photometric tag says so, 0 is white and 65535 is black."""
    ramp = grey_ramp_16()

    pixels = decoded(tiff_file((256, 256), (16,), 0, ramp.astype("<u2").tobytes()))

    assert (pixels[..., 0] == 255 - np.rint(ramp / 257)).all()


@pytest.mark.parametrize("photometric", [0, 1])
def test_12_bit_grey(photometric: int) -> None:
    """In a 12-bit TIFF 4095 is white (or black)."""
    ramp = np.arange(4096).reshape(64, 64)
    first, second = ramp[:, ::2], ramp[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)
    data = tiff_file((64, 64), (12,), photometric, packed.tobytes())
    if photometric == 0:  # Pillow has no such mode
        assert refusal(data).reason == "unsupported_mode"
        return

    assert (decoded(data)[..., 0] == np.rint(ramp * 255 / 4095)).all()


@pytest.mark.parametrize("with_alpha", [False, True])
def test_16_bit_colour_png(with_alpha: bool) -> None:
    """16-bit RGB(A) is within 1 of v/257 (Pillow reduces it itself)."""
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, 4)).astype(">u2")
    values[..., 3] = 65535
    values = values if with_alpha else values[..., :3]

    pixels = decoded(png_file((32, 32), 16, 6 if with_alpha else 2, [row.tobytes() for row in values]))

    assert np.abs(pixels - np.rint(values[..., :3] / 257)).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colour_tiff(order: str) -> None:
    """So is a 16-bit RGB TIFF of either byte order."""
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, 3)).astype(order + "u2")

    pixels = decoded(tiff_file((32, 32), (16, 16, 16), 2, values.tobytes(), order))

    assert np.abs(pixels - np.rint(values / 257)).max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_shallow_grey_png(depth: int) -> None:
    """Grey of 1, 2, 4 or 8 bits: the largest value is white, the others lie evenly between."""
    white = 2**depth - 1
    byte = noise(1, 1, 16)[0, 0]
    bits = np.unpackbits(byte).reshape(-1, depth)
    values = bits @ (1 << np.arange(depth)[::-1])

    pixels = decoded(png_file((len(values), 16), depth, 0, [byte.tobytes()] * 16))

    assert (pixels == (values * 255 // white)[None, :, None]).all()


def test_palette() -> None:
    """A palette picture, PNG or GIF, comes out in the palette's colours."""
    picture = Image.fromarray(noise()).quantize(50)

    expected = np.asarray(picture.convert("RGB"))

    assert (expected == decoded(save(picture, "PNG"))).all()
    assert (expected == decoded(save(picture, "GIF"))).all()


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "RGBX"])
def test_other_colour_spaces(mode: str) -> None:
    """Whatever other mode a parser may come up with ends as RGB."""
    picture = Image.new("RGB", (20, 20), (200, 100, 50)).convert(mode)

    colour, alpha = split_alpha(picture, "a.tif")
    result, _ = to_srgb(colour, {}, [])

    assert alpha is None and result.mode == "RGB"
    assert np.abs(np.asarray(result).astype(int) - (200, 100, 50)).max() <= 3


def test_ycbcr_tiff() -> None:
    """YCbCr, uncompressed in a TIFF, follows BT.601 at full range."""
    values = noise(32, 32)
    y, cb, cr = np.moveaxis(values.astype(float), -1, 0) - np.array([0, 128, 128])[:, None, None]
    expected = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1).clip(0, 255)

    assert np.abs(decoded(tiff_file((32, 32), (8, 8, 8), 6, values.tobytes())) - expected).max() <= 1.5


def test_lab_tiff() -> None:
    """CIE Lab in a TIFF (a and b signed) gives the sRGB of the CIE's formulas."""
    lab = np.stack(np.meshgrid(np.arange(30, 90, 4), np.arange(-16, 16, 2)), -1)
    lab = np.concatenate([lab, -lab[..., 1:]], -1)  # (16, 15, 3): L, a, b
    lab = np.repeat(lab, 2, axis=1)
    stored = np.concatenate([np.rint(lab[..., :1] * 2.55), lab[..., 1:] % 256], -1).astype(np.uint8)
    exact = np.concatenate([stored[..., :1] / 2.55, lab[..., 1:]], -1)

    pixels = decoded(tiff_file((30, 16), (8, 8, 8), 8, stored.tobytes()))

    assert np.abs(pixels - srgb_from_lab(exact)).max() <= 1.5


# ---- Transparency


def alpha_table() -> tuple[Bytes, Bytes]:
    """Every grey under every alpha: colours (256, 256, 3) that differ by channel, and alpha (256, 256)."""
    alpha, grey = np.mgrid[:256, :256].astype(np.uint8)
    return np.stack([grey, 255 - grey, grey ^ 85], -1), alpha


@pytest.mark.parametrize(
    ("file_format", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_rgba_over_white(file_format: str, options: dict[str, Any]) -> None:
    """C under alpha a becomes c*a + 255*(1-a), rounded, for each of the 65536 pairs; and the user is told."""
    colour, alpha = alpha_table()

    result = decode_image(save(np.dstack([colour, alpha]), file_format, **options), "a.png")

    assert (np.asarray(result.picture) == over_white(colour, alpha)).all()
    assert result.notes == (WHITE_NOTE,)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_grey_alpha_over_white(file_format: str) -> None:
    """So it is for grey with alpha."""
    colour, alpha = alpha_table()

    result = decode_image(save(np.dstack([colour[..., 0], alpha]), file_format), "a.png")

    assert (np.asarray(result.picture) == over_white(colour[..., :1], alpha)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_premultiplied_alpha_over_white(channels: int) -> None:
    """A TIFF with colours already multiplied by their alpha is not multiplied again."""
    colour, alpha = (part[64:] for part in alpha_table())
    premultiplied = np.rint(colour[..., :channels] * (alpha[..., None] / 255)).astype(np.uint8)
    bits, photometric = (8,) * (channels + 1), 1 if channels == 1 else 2
    content = np.dstack([premultiplied, alpha]).tobytes()

    result = decode_image(tiff_file((256, 192), bits, photometric, content, extra_sample=1), "a.tif")

    assert np.abs(np.asarray(result.picture) - over_white(colour[..., :channels], alpha)).max() <= 2


def test_opaque_alpha_is_no_news() -> None:
    """An alpha channel that is opaque all over changes nothing and is not mentioned."""
    pixels = noise()
    opaque = np.full((40, 64), 255, np.uint8)

    assert (decoded(save(np.dstack([pixels, opaque]), "PNG")) == pixels).all()


@pytest.mark.parametrize("transparency", [3, bytes([0, 64, 128, 255])])
def test_palette_transparency(transparency: int | bytes) -> None:
    """A palette with one transparent index, or with an alpha for each index, is laid over white."""
    picture = Image.fromarray(noise(channels=1)[..., 0] % 4).convert("P")
    picture.putpalette([250, 10, 20, 10, 200, 30, 5, 6, 7, 90, 90, 250])
    alphas = [255, 255, 255, 0] if isinstance(transparency, int) else list(transparency)
    index = np.asarray(picture)

    result = decode_image(save(picture, "PNG", transparency=transparency), "a.png")

    assert (np.asarray(result.picture) == over_white(np.asarray(picture.convert("RGB")), np.array(alphas)[index])).all()
    assert result.notes == (WHITE_NOTE,)


def test_palette_with_alpha_channel() -> None:
    """A palette TIFF with an alpha channel beside the indices (mode PA) is laid over white."""
    index, alpha = noise(32, 32, seed=1)[..., 0], noise(32, 32, seed=2)[..., 0]
    colours = noise(256, 1, seed=3)[:, 0]
    palette = tuple(int(value) * 257 for value in colours.T.ravel())
    content = np.dstack([index, alpha]).tobytes()

    result = decode_image(tiff_file((32, 32), (8, 8), 3, content, extra_sample=2, palette=palette), "a.tif")

    assert (np.asarray(result.picture) == over_white(colours[index], alpha)).all()


def test_transparent_gif() -> None:
    """A GIF's transparent index is laid over white."""
    picture = Image.fromarray(noise()).quantize(8)

    result = decode_image(save(picture, "GIF", transparency=2), "a.gif")

    expected = np.asarray(picture.convert("RGB")).copy()
    expected[np.asarray(picture) == 2] = 255
    assert (np.asarray(result.picture) == expected).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey(depth: int) -> None:
    """The one transparent grey of a PNG is meant at the file's own depth: only its pixels become white."""
    byte = noise(1, 1, 32)[0, 0]
    values = np.unpackbits(byte).reshape(-1, depth) @ (1 << np.arange(depth)[::-1])
    transparent = int(values[5]) if depth > 1 else 0
    extra = png_chunk(b"tRNS", struct.pack(">H", transparent))

    result = decode_image(png_file((len(values), 16), depth, 0, [byte.tobytes()] * 16, extra), "a.png")

    grey = np.rint(values * 255 / (2**depth - 1))
    assert (np.asarray(result.picture) == np.where(values == transparent, 255, grey)[None, :, None]).all()
    assert result.notes == (WHITE_NOTE,)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour(depth: int) -> None:
    """So is the one transparent colour of an RGB PNG."""
    values = np.random.default_rng(0).integers(0, 2**depth, (16, 16, 3))
    extra = png_chunk(b"tRNS", struct.pack(">HHH", *values[3, 5]))
    rows = [row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in values]

    result = decode_image(png_file((16, 16), depth, 2, rows, extra), "a.png")

    expected = values >> (depth - 8)
    expected[3, 5] = 255
    assert (np.asarray(result.picture) == expected).all()


# ---- Colour profiles


@pytest.mark.parametrize(
    ("to_xyz", "gamma"),
    [
        pytest.param(ADOBE_TO_XYZ, 563 / 256, id="adobe"),
        pytest.param(SRGB_TO_XYZ[:, [2, 0, 1]], 2.0, id="swapped primaries"),
        pytest.param(SRGB_TO_XYZ, 1.0, id="linear"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_rgb_profile(file_format: str, to_xyz: Pixels, gamma: float) -> None:
    """An embedded RGB profile is converted to sRGB as its primaries and its gamma say."""
    pixels = noise()
    options = {"lossless": True} if file_format == "WEBP" else {}

    result = decoded(save(pixels, file_format, icc_profile=rgb_profile(to_xyz, gamma), **options))

    difference = np.abs(result - srgb_from_xyz((pixels / 255.0) ** gamma @ to_xyz.T))
    assert difference.max() <= 1.5
    assert np.abs(result - pixels.astype(int)).max() > 30  # it is not that nothing happened


def test_srgb_profile_changes_nothing() -> None:
    """A picture with an sRGB profile keeps its pixels."""
    pixels = noise()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert (decoded(save(pixels, "PNG", icc_profile=srgb)) == pixels).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_profile(bits: int) -> None:
    """A grey profile is converted too: linear light gets sRGB's curve."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    stored = ramp if bits == 8 else ramp.astype(np.uint16) * 257

    result = decoded(save(stored, "PNG", icc_profile=grey_profile(1.0)))

    assert np.abs(result - srgb_from_xyz((ramp / 255)[..., None] * D50)).max() <= 1.5


def test_grey_picture_with_rgb_profile() -> None:
    """A grey picture that kept its RGB profile is treated as equal parts of red, green and blue."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))

    result = decoded(save(ramp, "PNG", icc_profile=rgb_profile(SRGB_TO_XYZ, 1.0)))

    assert np.abs(result - srgb_from_xyz((ramp / 255)[..., None] * D50)).max() <= 1.5


def test_alpha_comes_after_the_profile() -> None:
    """Colours are converted first and laid over white then; the alpha itself is not converted."""
    colour, alpha = alpha_table()
    profile = rgb_profile(SRGB_TO_XYZ, 1.0)

    result = decode_image(save(np.dstack([colour, alpha]), "PNG", icc_profile=profile), "a.png")

    assert (np.asarray(result.picture) == over_white(decoded(save(colour, "PNG", icc_profile=profile)), alpha)).all()


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(b"no profile at all", id="junk"),
        pytest.param(rgb_profile(ADOBE_TO_XYZ, 2.2)[:300], id="cut short"),
        pytest.param(cmyk_profile(), id="for CMYK"),
        pytest.param(grey_profile(1.0), id="for grey"),
    ],
)
def test_broken_profile_is_ignored(profile: bytes) -> None:
    """A profile that is broken, or is for another kind of picture, is ignored, and the user is told."""
    pixels = noise()

    result = decode_image(save(pixels, "PNG", icc_profile=profile), "a.png")

    assert (np.asarray(result.picture) == pixels).all()
    assert result.notes == (PROFILE_NOTE,)


def test_missing_part_of_a_jpeg_profile() -> None:
    """So is the profile of a JPEG in which a part of it is missing."""
    data = save(noise(), "JPEG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2))
    marker = data.index(b"ICC_PROFILE\0")

    result = decode_image(data[: marker + 13] + b"\2" + data[marker + 14 :], "a.jpg")

    assert result.notes == (PROFILE_NOTE,)


# ---- CMYK


def cmyk_patches() -> Bytes:
    """Flat 16 x 16 patches of the 16 ways to lay full inks over each other: (16, 256, 4)."""
    inks = np.array(list(np.ndindex(2, 2, 2, 2)), np.uint8) * 255
    return np.tile(np.repeat(inks, 16, axis=0), (16, 1, 1))


@pytest.mark.parametrize(("file_format", "tolerance"), [("TIFF", 1.5), ("JPEG", 3)])
def test_cmyk_profile(file_format: str, tolerance: float) -> None:
    """CMYK gets the colours that its profile gives the inks; in a JPEG they are stored inverted."""
    picture = Image.frombytes("CMYK", (256, 16), cmyk_patches().tobytes())
    options = {"quality": 100} if file_format == "JPEG" else {}
    corners = cmyk_corners().reshape(16, 3).astype(float)
    lab = np.stack([corners[:, 0] / 2.55, corners[:, 1] - 128, corners[:, 2] - 128], -1)

    result = decoded(save(picture, file_format, icc_profile=cmyk_profile(), **options))

    assert np.abs(result - np.repeat(srgb_from_lab(lab), 16, axis=0)).max() <= tolerance


def test_naive_cmyk() -> None:
    """Without a profile, CMYK becomes (1 - ink)(1 - black), and the user is told."""
    inks = noise(32, 32, 4)

    result = decode_image(save(Image.frombytes("CMYK", (32, 32), inks.tobytes()), "TIFF"), "a.tif")

    expected = (255.0 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    assert np.abs(np.asarray(result.picture) - expected).max() <= 1
    assert result.notes == (CMYK_NOTE,)


def test_cmyk_with_an_rgb_profile() -> None:
    """CMYK with a profile for RGB is told both: the profile does not fit, the conversion is naive."""
    picture = Image.new("CMYK", (32, 32), (0, 255, 255, 0))

    result = decode_image(save(picture, "TIFF", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2)), "a.tif")

    assert (np.asarray(result.picture) == (255, 0, 0)).all()
    assert result.notes == (PROFILE_NOTE, CMYK_NOTE)


@pytest.mark.parametrize("inks", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 200, 40, 30), (0, 0, 0, 255)])
def test_adobe_inverted_cmyk_jpeg(inks: tuple[int, int, int, int]) -> None:
    """A CMYK JPEG, in which Adobe stores 255 - ink, is not a negative."""
    data = save(Image.new("CMYK", (32, 32), inks), "JPEG", quality=100)
    assert b"Adobe" in data

    result = decode_image(data, "a.jpg")

    expected = (255.0 - np.array(inks[:3])) * (255 - inks[3]) / 255
    assert np.abs(np.asarray(result.picture) - expected).max() <= 2


def test_ycck_jpeg() -> None:
    """A YCCK JPEG has three inks as YCbCr and black inverted: no cyan and some black is dark red."""
    inks_as_ycc, black = (179, 171, 0), 51  # C, M, Y = 0, 255, 255 by the formulas of BT.601
    stored = tuple(255 - value for value in (*inks_as_ycc, 255 - black))  # as Pillow inverts while it saves
    data = save(Image.new("CMYK", (32, 32), stored), "JPEG", quality=100)
    adobe = data.index(b"Adobe")
    ycck = data[: adobe + 11] + b"\2" + data[adobe + 12 :]

    result = decode_image(ycck, "a.jpg")

    assert np.abs(np.asarray(result.picture).astype(int) - (204, 0, 0)).max() <= 3


# ---- Several frames


def three_frames() -> list[Image.Image]:
    return [Image.fromarray(noise(seed=seed)).quantize(16).convert("RGB") for seed in range(3)]


@pytest.mark.parametrize(
    ("file_format", "options"), [("GIF", {}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_first_of_several_frames(file_format: str, options: dict[str, Any]) -> None:
    """Of an animation, or of pages, the first is taken, and the user is told."""
    frames = three_frames()

    result = decode_image(save(frames[0], file_format, save_all=True, append_images=frames[1:], **options), "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_damage_behind_the_first_frame() -> None:
    """A GIF whose second frame is broken still has a first."""
    frames = three_frames()
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = data.index(b"\x21\xf9", len(save(frames[0], "GIF")) - 50)

    result = decode_image(data[: second + 12], "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_multi_picture_jpeg() -> None:
    """Of a phone's multi-picture JPEG (Pillow: MPO) the photograph is taken; its preview is no news."""
    frames = three_frames()

    pixels = decoded(save(frames[0], "MPO", save_all=True, append_images=frames[1:]))

    assert (pixels == decoded(save(frames[0], "JPEG"))).all()


def test_partial_first_frame_of_a_gif() -> None:
    """A GIF whose first frame covers only a part of the screen has the size of the screen."""
    picture = Image.fromarray(noise(20, 20)).quantize(16)
    data = bytearray(save(picture, "GIF"))
    data[6:10] = struct.pack("<HH", 50, 40)

    pixels = decoded(bytes(data))

    assert pixels.shape == (40, 50, 3)
    assert (pixels[:20, :20] == np.asarray(picture.convert("RGB"))).all()


# ---- Limits


def test_too_many_bytes() -> None:
    """More than 500 MB is refused unseen."""
    error = refusal(b"\0" * (MAX_BYTES + 1))

    assert error.reason == "too_large"
    assert str(error) == "cats/tom.png: expected at most 500 MB, found 500.0 MB. Make it smaller."


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1), (1, 400)])
def test_too_small(size: tuple[int, int]) -> None:
    """A side below 16 pixels is refused, even of a picture that is too elongated as well; 16 is enough."""
    error = refusal(save(Image.new("RGB", size), "PNG"))

    assert error.reason == "too_small"
    assert "at least 16" in error.message and f"{size[0]} x {size[1]}" in error.message
    assert decoded(save(Image.new("RGB", (16, 16)), "PNG")).shape == (16, 16, 3)


@pytest.mark.parametrize("size", [(16, 321), (321, 16)])
def test_too_elongated(size: tuple[int, int]) -> None:
    """More than 20 to 1 is refused; 20 to 1 is not."""
    error = refusal(save(Image.new("RGB", size), "PNG"))

    assert error.reason == "too_elongated"
    assert f"{size[0]} x {size[1]}" in error.message
    assert decoded(save(Image.new("RGB", (16, 320)), "PNG")).shape == (320, 16, 3)


def bit_png(side: int) -> bytes:
    """A black 1-bit PNG, whole: 18000 x 18000 pixels in 40 kB."""
    return png_file((side, side), 1, 0, [bytes(-(-side // 8))] * side)


def with_size_18000(file_format: str) -> bytes:
    """A small file whose header says 18000 x 18000."""
    if file_format == "TIFF":
        return tiff_file((18000, 18000), (8, 8, 8), 2, noise().tobytes())
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(2)]
    options = {"save_all": True, "append_images": frames[1:]} if file_format == "WEBP" else {}
    data = bytearray(save(frames[0], file_format, **options))
    where, sides = {
        "JPEG": (data.find(b"\xff\xc0") + 5, struct.pack(">HH", 18000, 18000)),
        "GIF": (6, struct.pack("<HH", 18000, 18000)),
        "BMP": (18, struct.pack("<ii", 18000, 18000)),
        "WEBP": (24, (17999).to_bytes(3, "little") * 2),
    }[file_format]
    data[where : where + len(sides)] = sides
    return bytes(data)


MEASURE = """
import sys, warnings
from pathlib import Path
from nst_core.errors import BadImage
from nst_core.images import decode_image
warnings.simplefilter("ignore")
def peak_kb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
files = [Path(path).read_bytes() for path in sys.argv[1:]]
decode_image(files[0], "warm-up")
before = peak_kb()
for data in files[1:]:
    try:
        decode_image(data, "bomb")
        print("accepted")
    except BadImage as error:
        print(error.reason, error.message)
print((peak_kb() - before) // 1024)
"""


def measured(tmp_path: Path, files: list[bytes]) -> list[str]:
    """What a fresh process says to each file after the first, and by how many MB its peak memory rose."""
    paths = [tmp_path / str(number) for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    root = Path(nst_core.__file__).parents[1]
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_bombs_are_refused_undecoded(tmp_path: Path) -> None:
    """Files of some kB that would unfold to 324 megapixels are refused by their header, in 16 MB."""
    formats = ("JPEG", "GIF", "BMP", "WEBP", "TIFF")
    bombs = [bit_png(18000), *(with_size_18000(file_format) for file_format in formats)]
    assert max(map(len, bombs)) < 50_000

    *said, megabytes = measured(tmp_path, [save(noise(), "PNG"), *bombs])

    expected = "too_many_pixels expected at most 300 megapixels, found 324.0 (18000 x 18000). Make it smaller."
    assert said == [expected] * len(bombs)
    assert int(megabytes) < 16


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_bomb_measurement_sees_a_decoder(tmp_path: Path) -> None:
    """The measurement above is not blind: 25 megapixels are accepted and take at least their 75 MB."""
    said, megabytes = measured(tmp_path, [save(noise(), "PNG"), bit_png(5000)])

    assert said == "accepted"
    assert int(megabytes) >= 75


@pytest.mark.parametrize(("side", "megapixels"), [(17400, "302.8"), (18000, "324.0")])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_bombs_whatever_pillow_does(side: int, megapixels: str, action: Any) -> None:
    """Pillow's own warning or error about a bomb is the same refusal, whether warnings are errors or not."""
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        error = refusal(bit_png(side))

    assert error.reason == "too_many_pixels"
    assert f"at most 300 megapixels, found {megapixels}" in error.message


def test_own_limit_without_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is ours: it holds when a program has switched off Pillow's."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

    assert refusal(bit_png(17321)).reason == "too_many_pixels"


# ---- Not pictures, or not whole

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
    "hand-made tiff": tiff_file((64, 40), (8, 8, 8), 2, noise().tobytes()),
}


@pytest.mark.parametrize("share", [0.99, 0.5, 0.02])
@pytest.mark.parametrize("kind", STILLS)
@pytest.mark.parametrize("lenient", [False, True])
def test_truncated(monkeypatch: pytest.MonkeyPatch, kind: str, share: float, lenient: bool) -> None:
    """A file cut short is refused as truncated, even where a program told Pillow to fill such files up."""
    whole = STILLS[kind]
    decode_image(whole, "whole")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)

    error = refusal(whole[: int(len(whole) * share)])

    assert error.reason == "truncated"
    assert "cut short or damaged" in error.message and "0x" not in error.message


@pytest.mark.parametrize("kind", STILLS)
def test_mere_signature(kind: str) -> None:
    """The first 16 bytes of a picture alone are a truncated picture too."""
    assert refusal(STILLS[kind][:16]).reason == "truncated"


def heif(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(%stdout) (w) file\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "EPS"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a drawing -->\n<svg width="64"></svg>', "SVG"),
        (b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">\n<SVG></SVG>', "SVG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"8BPS\0\1" + bytes(60), "Photoshop"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(60), "a camera raw file (CR3)"),
        (b"\0\0\0\x18ftypqt  \0\0\0\1qt  " + bytes(60), "a film"),
        (b"\0\0\0\x18ftypmp42\0\0\0\1isommp42" + bytes(60), "a film"),
        (b"\x76\x2f\x31\x01" + bytes(60), "OpenEXR"),
        (save(Image.fromarray(noise()), "ICO"), "ICO"),
        (save(Image.fromarray(noise()), "EPS"), "EPS"),
        (save(Image.fromarray(noise()), "PDF"), "PDF"),
    ],
)
def test_other_formats_are_named(data: bytes, kind: str) -> None:
    """A picture of a format that is not accepted is refused by its name, with what to do."""
    error = refusal(data)

    assert error.reason == "unsupported_format"
    assert f"found {kind}" in error.message and error.message.endswith("Save it as PNG or JPEG.")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html>\n<html><body>403 <svg></svg></body></html>", "a web page"),
        (b"<HTML lang=en><title>not found</title>", "a web page"),
        (b"content,style\na.png,b.png\n", "something else"),
        (b"\0" * 1000, "something else"),
        (b"BMW is a make of cars, and this is a text about it", "something else"),
        (b'{"error": "AccessDenied"}', "something else"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "something else"),
    ],
)
def test_not_an_image(data: bytes, found: str) -> None:
    """What is no picture at all is refused as such."""
    error = refusal(data)

    assert error.reason == "not_an_image"
    assert f"found {found}." in error.message


def test_pillow_never_sees_other_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS, whose parser would start Ghostscript, is not even offered to it."""
    opened: list[bytes] = []
    Image.init()
    _, accept = Image.OPEN["EPS"]
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *file: opened.append(file), accept))

    refusal(save(Image.fromarray(noise()), "EPS"))

    assert opened == []


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
def test_float_tiff(channels: int, kind: str) -> None:
    """Of floating point numbers from 0 to 1 white is 1; without a profile they are taken as sRGB, which is said."""
    values = np.random.default_rng(0).random((32, 32, channels))
    values[..., 3:] = 1
    bits, photometric = (8 * np.dtype(kind).itemsize,) * channels, 1 if channels == 1 else 2
    more = {"extra_sample": 2} if channels == 4 else {}
    content = values.astype(kind).tobytes()

    result = decode_image(tiff_file((32, 32), bits, photometric, content, kind[0], sample_format=3, **more), "a.tif")

    assert np.abs(np.asarray(result.picture) - 255 * values[..., :3]).max() <= 0.51 + 255 * (kind == "<f2") / 2048
    assert result.notes == ("floating point numbers without a colour profile taken as sRGB, white at 1",)


def test_credits_of_a_float_tiff() -> None:
    """They are carried on as those of any other file."""
    buffer = BytesIO()
    tags = [(tag, 2, 0, text.encode(), True) for tag, text in ((270, "A pier"), (315, "José"), (33432, "© 1999"))]
    tifffile.imwrite(buffer, np.full((32, 32, 3), 0.5, "<f4"), photometric="rgb", extratags=tags, metadata=None)

    assert decode_image(buffer.getvalue(), "a.tif").origin.credit == Credits("José", "© 1999", "A pier")


@pytest.mark.parametrize("value", [1.01, -0.01, float("nan"), float("inf")])
def test_float_tiff_beyond_white(value: float) -> None:
    """Of others nothing says which of them is white: refused, with the least and the largest."""
    values = np.full((32, 32), 0.5, "<f4")
    values[3, 4] = value

    error = refusal(tiff_file((32, 32), (32,), 1, values.tobytes(), sample_format=3))

    assert error.reason == "unsupported_mode"
    assert "expected 8 or 16 bits per channel, found floating point numbers from" in error.message


@pytest.mark.parametrize("value", [65536, -1])
def test_32_bit_tiff(value: int) -> None:
    """32-bit whole numbers beyond 0 to 65535 are refused likewise."""
    values = np.zeros((32, 32), np.int32)
    values[3, 4] = value

    error = refusal(save(Image.fromarray(values), "TIFF"))

    assert error.reason == "unsupported_mode"
    assert str(value) in error.message


def test_12_bit_jpeg() -> None:
    """So is a JPEG of 12 bits."""
    data = bytearray(STILLS["jpeg"])
    data[data.index(b"\xff\xc0") + 4] = 12

    assert refusal(bytes(data)).reason == "unsupported_mode"


def test_camera_raw() -> None:
    """A TIFF that begins with a preview, as DNG and NEF do, is refused: the preview is not the picture."""
    error = refusal(tiff_file((64, 40), (8, 8, 8), 2, noise().tobytes(), subfile=1))

    assert error.reason == "unsupported_format"
    assert "camera raw" in error.message


def test_every_cut_of_a_png() -> None:
    """A PNG that lacks even its last byte is not whole, though Pillow would show it."""
    whole = STILLS["png"]

    assert {refusal(whole[:-lost]).reason for lost in range(1, 40)} == {"truncated"}


def test_damaged_png() -> None:
    """A wrong checksum in a PNG's header is damage."""
    data = bytearray(STILLS["png"])
    data[30] ^= 1

    assert refusal(bytes(data)).reason == "truncated"


def test_lack_of_memory_is_not_the_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError passes: the same picture may do on another machine."""

    def out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", out_of_memory)

    with pytest.raises(MemoryError):
        decode_image(STILLS["png"], "a.png")


def test_errors_survive_pickling() -> None:
    """A refusal that crosses a process boundary keeps its name, reason and message."""
    error = refusal(b"")

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.name, copy.reason, copy.message) == ("cats/tom.png", "not_an_image", error.message)
    assert str(copy) == str(error) == f"cats/tom.png: {error.message}"


REASONS = set(re.findall(r"`(\w+)`", BadImage.__doc__ or ""))


def accepts_or_refuses(data: bytes) -> None:
    """The whole contract: a plain RGB picture, or a BadImage with a known reason."""
    try:
        picture = decode_image(data, "fuzz").picture
    except BadImage as error:
        assert error.reason in REASONS  # noqa: PT017  # both outcomes are fine
        return
    assert picture.mode == "RGB" and min(picture.size) >= 16
    picture.tobytes()


FUZZ = settings(
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
SIGNATURES = [b"", b"\0\0\0\x18ftypheic", b"<svg", *(data[:40] for data in STILLS.values())]


@FUZZ
@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=400))
@pytest.mark.filterwarnings("ignore")
def test_random_bytes(start: bytes, rest: bytes) -> None:
    """Random bytes, bare or behind a picture's first bytes, never raise anything but BadImage."""
    accepts_or_refuses(start + rest)


TO_MUTATE = [
    *STILLS.values(),
    save(three_frames()[0], "GIF", save_all=True, append_images=three_frames()[1:]),
    save(three_frames()[0], "PNG", save_all=True, append_images=three_frames()[1:]),
    save(three_frames()[0], "MPO", save_all=True, append_images=three_frames()[1:]),
    save(noise(), "PNG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2), exif=b"Exif\0\0II*\0\x08\0\0\0"),
    save(Image.fromarray(noise()).quantize(16), "PNG", transparency=2),
]


@FUZZ
@given(
    data=st.sampled_from(TO_MUTATE),
    header=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=6),
    body=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=6),
    share=st.floats(0.5, 1.0) | st.just(1.0),
)
@example(data=STILLS["png"], header=[(25, 77)], body=[], share=1.0)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files(data: bytes, header: list[tuple[int, int]], body: list[tuple[float, int]], share: float) -> None:
    """Valid files with some bytes changed, mostly near their beginning, never raise anything but BadImage."""
    mutated = bytearray(data)
    for place, value in header:
        mutated[place] = value
    for place_share, value in body:
        mutated[int(place_share * len(data))] = value

    accepts_or_refuses(bytes(mutated[: int(share * len(data))]))


# ---- Resizing, importing


def test_resize_to_the_same_size() -> None:
    """At the size it has, the very same picture comes back."""
    picture = Image.fromarray(noise())

    assert resize(picture, 64, 40) is picture


def test_resize() -> None:
    """The new picture has the size asked for; a plain one stays plain; a gradient stays one."""
    gradient = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (64, 1, 3))

    small = np.asarray(resize(Image.fromarray(gradient), 64, 16)).astype(int)

    assert small.shape == (16, 64, 3)
    assert np.abs(small[0, 4:-4, 0] - (4 * np.arange(64) + 1.5)[4:-4]).max() <= 1
    assert (np.asarray(resize(Image.new("RGB", (20, 20), (1, 2, 3)), 55, 33)) == (1, 2, 3)).all()


def test_no_torch() -> None:
    """Planning imports this module, and starts without torch."""
    command = [sys.executable, "-c", "import sys, nst_core.images; print('torch' in sys.modules)"]
    root = Path(nst_core.__file__).parents[1]

    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"
