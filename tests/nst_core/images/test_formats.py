"""Decoding of AVIF, HEIC and JPEG 2000, the formats of phones and archives."""

import sys
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from nst_core.errors import BadImage
from nst_core.images import decode_image
from nst_core.images.files.boxes import brands, heif_colour, jp2_colour
from nst_core.images.files.formats import endings, format_of
from tests.icc import ADOBE_TO_XYZ, rgb_profile, srgb_from_xyz

FRAMES_NOTE = "several frames or pages: the first is used"


def picture(seed: int = 0) -> Image.Image:
    """Return flat squares of random colours, of which a codec changes little."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours.repeat(16, axis=0).repeat(16, axis=1))


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def heic(*pictures: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.HeifFile()
    for one in pictures:
        file.add_from_pillow(one)
    buffer = BytesIO()
    file.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def off(image: Image.Image, expected: Image.Image) -> int:
    """Return the largest difference between two images."""
    return int(np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max())


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
def test_pixels_are_decoded_without_a_note(kind: str) -> None:
    """AVIF and HEIC are decoded within 4 levels and JPEG 2000 exactly, without a note."""
    options = {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    data = heic(picture()) if kind == "HEIC" else saved(picture(), kind, **options)

    result = decode_image(data, "a")

    assert off(result.picture, picture()) <= (0 if kind == "JPEG2000" else 4)
    assert (result.notes, result.picture.mode, result.picture.info) == ((), "RGB", {})


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_a_turned_photograph_is_turned_once(kind: str, orientation: int) -> None:
    """A phone's photograph is turned upright exactly once, whether its EXIF or its container has the orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    how = turned[orientation]
    stored = picture() if how is None else picture().transpose(how)
    if kind == "AVIF":
        data = saved(stored, "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    else:
        data = heic(stored, exif=exif.tobytes())

    assert off(decode_image(data, "a").picture, picture()) <= 4


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
def test_transparency_is_laid_over_white_or_kept(kind: str) -> None:
    """Transparency is composed over white with a note, or returned separately with `keep_alpha`."""
    image = picture()
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 64, 96))
    image.putalpha(alpha)
    data = heic(image) if kind == "HEIC" else saved(image, kind, **({"quality": 100} if kind == "AVIF" else {}))

    over = decode_image(data, "a")
    kept = decode_image(data, "a", keep_alpha=True)

    assert over.notes == ("transparency laid over white",)
    assert np.asarray(over.picture)[:, :60].min() >= 252
    assert kept.alpha is not None and off(kept.alpha, alpha) <= 2


def test_a_profile_in_a_heic_is_applied() -> None:
    """A HEIC with a colour profile is converted to sRGB, as in any other format."""
    image = picture()
    image.info["icc_profile"] = rgb_profile(ADOBE_TO_XYZ, 2.2)

    pixels = np.asarray(decode_image(heic(image), "a").picture)

    assert np.abs(pixels - srgb_from_xyz((np.asarray(image) / 255) ** 2.2 @ ADOBE_TO_XYZ.T)).max() <= 8


def test_a_heic_of_high_dynamic_range_is_refused() -> None:
    """A HEIC whose code points declare high dynamic range is refused."""
    with pytest.raises(BadImage, match=r"found one of high dynamic range \(PQ\)"):
        decode_image(heic(picture(), color_primaries=9, transfer_characteristics=16, save_nclx_profile=True), "a")


def test_the_primary_image_of_a_heic_is_used() -> None:
    """Of several images in a HEIC the primary one is used, which need not be the first, and a note says so."""
    result = decode_image(heic(picture(1), picture(2), picture(3), primary_index=1), "a")

    assert off(result.picture, picture(2)) <= 4
    assert result.notes == ("several images: the one that is marked as the primary one is used",)


def test_the_first_frame_of_an_animated_avif_is_used() -> None:
    """The first frame of an animated AVIF is used, and a note says so."""
    data = saved(picture(1), "AVIF", save_all=True, append_images=[picture(2)], quality=100, subsampling="4:4:4")

    result = decode_image(data, "a")

    assert off(result.picture, picture(1)) <= 4
    assert result.notes == (FRAMES_NOTE,)


def test_a_heic_without_pillow_heif_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package pillow-heif a HEIC is refused, and the message says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    with pytest.raises(BadImage) as caught:
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "IMG_1.HEIC")

    assert (caught.value.reason, caught.value.is_permanent) == ("missing_decoder", False)
    assert str(caught.value) == (
        "IMG_1.HEIC: expected a JPEG, PNG, WebP, AVIF, HEIC, JPEG 2000, TIFF, GIF or BMP image, found HEIC, which "
        "nothing here can read. Install the extra `heic` (package pillow-heif, see the README), or save it as JPEG."
    )


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("no_jp2", [True, False])
def test_grey_alpha_and_16_bits_of_jpeg_2000_are_exact(mode: str, no_jp2: bool) -> None:
    """JPEG 2000 of grey, alpha or 16 bits is decoded exactly, from its container and from a bare codestream."""
    grey = np.asarray(picture().convert("L"))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else picture().convert(mode)

    result = decode_image(saved(image, "JPEG2000", no_jp2=no_jp2), "a")

    expected = Image.fromarray(grey) if mode == "I;16" else picture().convert(mode)
    assert off(result.picture, expected.convert("RGB")) == 0


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_file_cut_short_is_refused(kind: str, share: float) -> None:
    """An AVIF, HEIC or JPEG 2000 that is cut short is refused as truncated."""
    whole = heic(picture()) if kind == "HEIC" else saved(picture(), kind)

    with pytest.raises(BadImage) as caught:
        decode_image(whole[: int(share * len(whole))], "a")

    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
@pytest.mark.filterwarnings("ignore")
def test_wrong_bytes_raise_only_bad_image(kind: str) -> None:
    """Wrong bytes anywhere in a file, its boxes included, raise no error but BadImage."""
    whole = heic(picture()) if kind == "HEIC" else saved(picture(), kind)
    chance = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in chance.integers(0, min(len(data), int(chance.choice([100, 500, len(data)]))), 3):
            data[place] ^= 1 << int(chance.integers(0, 8))
        for read in (brands, heif_colour, jp2_colour):
            read(bytes(data))
        try:
            decode_image(bytes(data), "a")
        except BadImage:
            continue


def test_brands_tell_avif_from_heif() -> None:
    """The format is recognised by all brands of a file: an AVIF may also have HEIF's general brand."""

    def begin(*found: bytes) -> bytes:
        return (8 + 4 * len(found) + 4).to_bytes(4) + b"ftyp" + found[0] + bytes(4) + b"".join(found[1:])

    assert format_of(begin(b"mif1", b"avif", b"miaf")) == "AVIF"
    assert format_of(begin(b"avis", b"msf1")) == "AVIF"
    assert format_of(begin(b"mif1", b"heic")) == "HEIF"
    assert format_of(begin(b"heix", b"mif1")) == "HEIF"
    assert format_of(begin(b"isom", b"mp42")) is None


def test_usual_extensions_are_known() -> None:
    """`endings` has the usual extensions, including those of HEIC even if the extra `heic` is not installed."""
    usual = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}

    assert usual | {".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".mpo"} <= endings()
