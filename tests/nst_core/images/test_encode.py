"""Encoding of an output in every format, read back by our own decoder and by Pillow and tifffile."""

import struct
import time
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin, PngImagePlugin

from nst_core.images import PictureFile, as_read, decode_image, encode_image, read_metadata
from nst_core.images.colour.rgb_space import srgb_profile
from nst_core.images.files.credits import Credits, credits_of
from nst_core.options.file_formats import FILE_FORMATS
from tests.icc import ADOBE_TO_XYZ, rgb_profile
from tests.odd_pictures import noise, save

METADATA = {
    "recipe": "relative",
    "content": "Gemälde/猫 🐈.png",
    "note": 'two\nlines, "quotes" & \\',
    "empty": "",
    "a.b-C_9": "x",
}
CREDIT = Credits(artist="José Ñandú; 猫", copyright="© 2024", description="a cat on a chair")
ADOBE = rgb_profile(ADOBE_TO_XYZ, 2.19921875)
FILES = {
    f"{file.file_format} {file.bit_depth}": file
    for kind in FILE_FORMATS.values()
    for file in (PictureFile(kind.name, 8 if bits == 8 else 16) for bits in kind.bit_depths)
}
LOSSLESS = {name: file for name, file in FILES.items() if FILE_FORMATS[file.file_format].is_lossless}
WITH_ALPHA = {name: file for name, file in FILES.items() if FILE_FORMATS[file.file_format].has_alpha}
of_each = pytest.mark.parametrize("file", FILES.values(), ids=FILES)
EIGHT_BIT = {name: file for name, file in FILES.items() if file.bit_depth == 8}
of_each_format = pytest.mark.parametrize("file", EIGHT_BIT.values(), ids=EIGHT_BIT)


def random_levels(file: PictureFile, channels: int = 3) -> NDArray[Any]:
    kind = np.uint8 if file.bit_depth == 8 else np.uint16
    return np.random.default_rng(1).integers(0, file.white + 1, (40, 52, channels), dtype=kind)


def smooth(seed: int = 0) -> NDArray[np.float32]:
    """Return an image of soft colours in [0, 1], 256 x 192 pixels."""
    small = np.random.default_rng(seed).random((6, 8, 3), dtype=np.float32)
    channels = [Image.fromarray(small[..., c]).resize((256, 192), Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack([np.asarray(one) for one in channels], -1).clip(0, 1)


def read_by_others(data: bytes, file: PictureFile) -> NDArray[Any]:
    """Return the values of a file as tifffile or Pillow reads them.

    Pillow reads only 8 of the 16 bits of a colour PNG, so its header is changed to that of a wider grey PNG.
    """
    if file.file_format == "tiff":
        return tifffile.imread(BytesIO(data))
    image = Image.open(BytesIO(data))
    if file.bit_depth == 8:
        return np.asarray(image)
    channels = len(image.getbands())
    grey = bytearray(data)
    grey[16:26] = (channels * image.width).to_bytes(4) + image.height.to_bytes(4) + bytes((16, 0))
    grey[29:33] = zlib.crc32(grey[12:29]).to_bytes(4)
    rows = np.asarray(Image.open(BytesIO(grey))).astype(np.uint16)
    return rows.reshape(image.height, image.width, channels)


# ---- Pixels


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("file", LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_formats_keep_every_value(file: PictureFile, channels: int) -> None:
    """A PNG or TIFF of 8 or 16 bits, with or without alpha, holds exactly the levels that were encoded."""
    levels = random_levels(file, channels)

    found = read_by_others(encode_image(levels, file, METADATA, CREDIT), file)

    assert found.dtype == levels.dtype
    np.testing.assert_array_equal(found, levels)
    assert as_read(levels, file) is levels


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("file", WITH_ALPHA.values(), ids=WITH_ALPHA)
def test_alpha_is_exact(file: PictureFile, channels: int) -> None:
    """Alpha is stored exactly, as a channel of its own; without alpha the file has no such channel."""
    levels = random_levels(file, channels)

    image = Image.open(BytesIO(encode_image(levels, file, {})))

    assert image.mode == ("RGB" if channels == 3 else "RGBA")
    if channels == 4:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], levels[..., 3] >> (file.bit_depth - 8))


@of_each
def test_decode_image_reads_every_output(file: PictureFile) -> None:
    """An output can be decoded as a content image or for a thumbnail, in the same colours and without a note."""
    pixels = smooth()

    decoded = decode_image(encode_image(file.levels(pixels), file, METADATA, CREDIT), "a")

    assert decoded.notes == ()
    assert np.abs(np.asarray(decoded.picture) / 255 - pixels).mean() < 0.01


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize(
    ("file_format", "channels"),
    [
        (kind.name, channels)
        for kind in FILE_FORMATS.values()
        if not kind.is_lossless
        for channels in ((3, 4) if kind.has_alpha else (3,))
    ],
)
def test_as_read_equals_a_decoded_lossy_file(file_format: Any, channels: int, quality: int) -> None:
    """For a JPEG or WebP, `as_read` returns the pixels that its file decodes to, including transparent ones."""
    file = PictureFile(file_format, jpeg_quality=quality)
    levels = np.dstack([file.levels(smooth()), np.tile(np.arange(256, dtype=np.uint8), (192, 1))])[..., :channels]

    found = read_by_others(encode_image(levels, file, METADATA, CREDIT), file)

    np.testing.assert_array_equal(as_read(levels, file), found)
    assert 0 < np.abs(found[..., :3].astype(int) - levels[..., :3]).mean() < (6 if quality == 30 else 2)


def test_jpeg_has_full_colour_resolution() -> None:
    """A JPEG is 4:4:4, whatever its quality."""
    data = encode_image(random_levels(PictureFile("jpeg")), PictureFile("jpeg", jpeg_quality=40), {})

    assert JpegImagePlugin.get_sampling(Image.open(BytesIO(data))) == 0


@pytest.mark.parametrize("quality", [1, 75, 92, 100])
@pytest.mark.parametrize("side", [16, 300, 600])
def test_jpeg_holds_pure_noise(side: int, quality: int) -> None:
    """Pure noise can be saved as a JPEG of every quality, though Pillow's optimised path fails on it from 90 on."""
    levels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)

    data = encode_image(levels, PictureFile("jpeg", jpeg_quality=quality), METADATA)

    assert decode_image(data, "a").picture.size == (side, side)
    assert read_metadata(data) == METADATA


def test_jpeg_is_optimised() -> None:
    """The JPEG of an ordinary image is optimised: it is smaller than with the standard Huffman tables."""
    file = PictureFile("jpeg")
    levels = file.levels(smooth())

    data = encode_image(levels, file, {})

    plain = save(Image.fromarray(levels), "JPEG", quality=92, subsampling=0, icc_profile=srgb_profile())
    assert len(data) < len(plain)


def test_levels_are_rounded() -> None:
    """Pixels are rounded to the nearest level of the file's bit depth, and 8-bit alpha is scaled to that depth."""
    pixels = np.array([[[0.0, 0.5, 1.0], [100.4 / 65535, 100.6 / 65535, 0.25]]], dtype=np.float32)
    alpha = np.array([[0, 255]], dtype=np.uint8)

    assert PictureFile("png").levels(pixels).tolist() == [[[0, 128, 255], [0, 0, 64]]]
    assert PictureFile("png", 16).levels(pixels, alpha).tolist() == [[[0, 32768, 65535, 0], [100, 101, 16384, 65535]]]


@pytest.mark.parametrize("file", LOSSLESS.values(), ids=LOSSLESS)
def test_srgb_undoes_levels(file: PictureFile) -> None:
    """`srgb` returns the pixels that `levels` was given, within half a level, with or without alpha."""
    pixels = smooth()

    for alpha in (None, np.zeros(pixels.shape[:2], np.uint8)):
        assert np.abs(file.srgb(file.levels(pixels, alpha)) - pixels).max() < 0.51 / file.white


# ---- Colour profiles


@of_each
def test_profile_is_embedded(file: PictureFile) -> None:
    """Every file embeds the sRGB profile or the requested one, byte for byte, and a PNG has no chunk sRGB or gAMA."""
    levels = random_levels(file)
    adobe = PictureFile(file.file_format, file.bit_depth, profile=ADOBE)

    plain, other = encode_image(levels, file, {}), encode_image(levels, adobe, {})

    profile = Image.open(BytesIO(plain)).info["icc_profile"]
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))) == "sRGB built-in\n"
    assert Image.open(BytesIO(other)).info["icc_profile"] == ADOBE
    assert b"sRGB\0" not in plain and b"gAMA" not in plain


# ---- Metadata


@of_each
def test_metadata_round_trip(file: PictureFile) -> None:
    """Metadata is read back exactly from a file that has credits too; a file without metadata gives none."""
    levels = random_levels(file)

    assert read_metadata(encode_image(levels, file, METADATA, CREDIT)) == METADATA
    assert read_metadata(encode_image(levels, file, {})) == {}


@of_each_format
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metadata=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_.-]{1,75}", fullmatch=True),
        st.text(st.characters(codec="utf-8")),
        max_size=4,
    )
)
def test_any_metadata_round_trip(file: PictureFile, metadata: dict[str, str]) -> None:
    """Any text under any allowed key is read back exactly."""
    assert read_metadata(encode_image(np.zeros((16, 16, 3), np.uint8), file, metadata)) == metadata


@of_each_format
@pytest.mark.parametrize("key", ["", "two words", "größe", "x" * 76, "a\0b", "line\n"])
def test_encode_refuses_impossible_keys(file: PictureFile, key: str) -> None:
    """A metadata key that a PNG cannot hold is a ValueError in every format."""
    with pytest.raises(ValueError, match="metadata key"):
        encode_image(np.zeros((16, 16, 3), np.uint8), file, {key: "x"})


@pytest.mark.parametrize(("file_format", "value"), [("jpeg", "x" * 70_000), ("jpeg", "\ud800"), ("png", "\ud800")])
def test_encode_refuses_impossible_text(file_format: Any, value: str) -> None:
    """Metadata text that is too long for a JPEG, or has a lone surrogate, is a ValueError."""
    with pytest.raises(ValueError, match=r"."):  # the messages are the encoders'
        encode_image(np.zeros((16, 16, 3), np.uint8), PictureFile(file_format), {"a": value})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_foreign_files_have_no_metadata(kind: str) -> None:
    """`read_metadata` returns nothing for files of other programs, whole or cut short, and for other bytes."""
    data = save(noise(), kind)

    assert read_metadata(data) == read_metadata(data[:100]) == read_metadata(b"") == read_metadata(b"junk") == {}


def test_foreign_comments_are_not_read_as_metadata() -> None:
    """Comments and texts of other programs are not taken for metadata, even if they begin with our prefix."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Comment", "nst:no")
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0made by hand"

    assert read_metadata(save(noise(), "PNG", pnginfo=chunks)) == {}
    assert read_metadata(save(noise(), "JPEG", comment=b"made by hand")) == {}
    assert read_metadata(save(noise(), "JPEG", comment=b"nst: made by hand")) == {}
    assert read_metadata(save(noise(), "WEBP", exif=exif)) == {}


@of_each
def test_exif_has_credits_and_resolution(file: PictureFile) -> None:
    """Every file's EXIF has artist, copyright and description, and the resolution if one is requested.

    It has no orientation, because the pixels are upright.
    """
    levels = random_levels(file)
    printed = PictureFile(file.file_format, file.bit_depth, dpi=300)

    image = Image.open(BytesIO(encode_image(levels, printed, {}, CREDIT)))
    plain = Image.open(BytesIO(encode_image(levels, file, {})))

    exif, plain_exif = image.getexif(), plain.getexif()
    assert credits_of(exif) == CREDIT
    assert (exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution]) == (300, 300)
    assert exif[ExifTags.Base.ResolutionUnit] == 2
    assert ExifTags.Base.Orientation not in exif
    assert credits_of(plain_exif) == Credits()
    assert plain_exif.get(ExifTags.Base.ResolutionUnit, 1) == 1
    if file.file_format != "webp":  # a WebP has a resolution only in its EXIF
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@of_each
def test_a_file_is_of_the_format_that_was_asked_for(file: PictureFile) -> None:
    """Other programs recognise the file as one of its format, and its ending as that of such files."""
    image = Image.open(BytesIO(encode_image(random_levels(file), file, {})))
    endings = [f".{ending}" for ending in FILE_FORMATS[file.file_format].endings]

    assert image.format == file.file_format.upper()
    assert {Image.registered_extensions()[ending] for ending in endings} == {image.format}


@of_each
def test_encoding_is_deterministic(file: PictureFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same levels and metadata give the same bytes, whatever the order of the metadata and the time of day."""
    levels = random_levels(file)
    first = encode_image(levels, file, METADATA, CREDIT)
    a_day_later = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: a_day_later)

    assert encode_image(levels, file, dict(reversed(METADATA.items())), CREDIT) == first


def test_srgb_profile_has_a_fixed_creation_date() -> None:
    """The sRGB profile is that of littlecms, but for a fixed creation date, so that its bytes are always the same."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)

    assert srgb_profile() == made[:24] + date + made[36:]


@pytest.mark.parametrize(
    ("file", "shape", "kind"),
    [
        (PictureFile("jpeg"), (16, 16, 4), np.uint8),
        (PictureFile("png"), (16, 16), np.uint8),
        (PictureFile("png"), (16, 16, 3), np.uint16),
        (PictureFile("tiff", 16), (16, 16, 3), np.uint8),
        (PictureFile("jpeg", 16), (16, 16, 3), np.uint16),
        (PictureFile("webp", 16), (16, 16, 3), np.uint16),
    ],
)
def test_encode_refuses_what_the_format_cannot_hold(file: PictureFile, shape: tuple[int, ...], kind: Any) -> None:
    """Levels of a shape or type that the format cannot hold are a ValueError, as are 16 bits in a JPEG or WebP."""
    with pytest.raises(ValueError, match="expected"):
        encode_image(np.zeros(shape, kind), file, {})
