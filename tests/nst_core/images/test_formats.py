"""Formats of phones and archives: AVIF, HEIC and JPEG 2000."""

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
    """Flat squares, of which a codec changes little."""
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
    return int(np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max())


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
def test_it_is_read(kind: str) -> None:
    """The pixels come out, without a note."""
    options = {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    data = heic(picture()) if kind == "HEIC" else saved(picture(), kind, **options)

    result = decode_image(data, "a")

    assert off(result.picture, picture()) <= (0 if kind == "JPEG2000" else 4)
    assert (result.notes, result.picture.mode, result.picture.info) == ((), "RGB", {})


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_it_is_upright(kind: str, orientation: int) -> None:
    """A phone's turned photograph is turned once, whether its EXIF says so or its container."""
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
def test_transparency(kind: str) -> None:
    """Transparency is composed over white, or kept."""
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


def test_a_profile_in_a_heic() -> None:
    """A HEIC's profile is converted to sRGB as in any other format."""
    image = picture()
    image.info["icc_profile"] = rgb_profile(ADOBE_TO_XYZ, 2.2)

    pixels = np.asarray(decode_image(heic(image), "a").picture)

    assert np.abs(pixels - srgb_from_xyz((np.asarray(image) / 255) ** 2.2 @ ADOBE_TO_XYZ.T)).max() <= 8


def test_numbers_in_a_heic() -> None:
    """High dynamic range is refused in a HEIC too."""
    with pytest.raises(BadImage, match=r"found one of high dynamic range \(PQ\)"):
        decode_image(heic(picture(), color_primaries=9, transfer_characteristics=16, save_nclx_profile=True), "a")


def test_several_pictures_in_a_heic() -> None:
    """Of a burst the primary image is used, which need not be the first, and a note says so."""
    result = decode_image(heic(picture(1), picture(2), picture(3), primary_index=1), "a")

    assert off(result.picture, picture(2)) <= 4
    assert result.notes == ("several pictures: the one that is marked as the primary one is used",)


def test_an_animated_avif() -> None:
    """The first frame of an animation is used, and a note says so."""
    data = saved(picture(1), "AVIF", save_all=True, append_images=[picture(2)], quality=100, subsampling="4:4:4")

    result = decode_image(data, "a")

    assert off(result.picture, picture(1)) <= 4
    assert result.notes == (FRAMES_NOTE,)


def test_heic_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    with pytest.raises(BadImage) as caught:
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "IMG_1.HEIC")

    assert caught.value.reason == "unsupported_format"
    assert str(caught.value) == (
        "IMG_1.HEIC: expected a JPEG, PNG, WebP, AVIF, HEIC, JPEG 2000, TIFF, GIF or BMP picture, found HEIC, which "
        "nothing here can read. Install the extra `heic` (package pillow-heif, see the README), or save it as JPEG."
    )


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("no_jp2", [True, False])
def test_kinds_of_jpeg_2000(mode: str, no_jp2: bool) -> None:
    """Grey, alpha and 16 bits are decoded exactly, from the container and from a bare codestream."""
    grey = np.asarray(picture().convert("L"))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else picture().convert(mode)

    result = decode_image(saved(image, "JPEG2000", no_jp2=no_jp2), "a")

    expected = Image.fromarray(grey) if mode == "I;16" else picture().convert(mode)
    assert off(result.picture, expected.convert("RGB")) == 0


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_cut_short(kind: str, share: float) -> None:
    """A truncated file is refused with the name of its format."""
    whole = heic(picture()) if kind == "HEIC" else saved(picture(), kind)

    with pytest.raises(BadImage) as caught:
        decode_image(whole[: int(share * len(whole))], "a")

    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIC"])
@pytest.mark.filterwarnings("ignore")
def test_wrong_bytes(kind: str) -> None:
    """Wrong bytes anywhere, even in the boxes, raise nothing but BadImage."""
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


def test_brands() -> None:
    """An AVIF that also has HEIF's general brand is recognised as AVIF."""

    def begin(*found: bytes) -> bytes:
        return (8 + 4 * len(found) + 4).to_bytes(4) + b"ftyp" + found[0] + bytes(4) + b"".join(found[1:])

    assert format_of(begin(b"mif1", b"avif", b"miaf")) == "AVIF"
    assert format_of(begin(b"avis", b"msf1")) == "AVIF"
    assert format_of(begin(b"mif1", b"heic")) == "HEIF"
    assert format_of(begin(b"heix", b"mif1")) == "HEIF"
    assert format_of(begin(b"isom", b"mp42")) is None


def test_endings() -> None:
    """The usual extensions are known, even if the extra `heic` is not installed."""
    usual = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}

    assert usual | {".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".mpo"} <= endings()
