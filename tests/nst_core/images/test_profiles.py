"""Conversion of images with embedded colour profiles to sRGB: RGB, grey and CMYK."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst_core.images import decode_image
from tests.icc import (
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
from tests.picture_files import CMYK_NOTE, PROFILE_NOTE, Bytes, Pixels, alpha_table, decoded, noise, over_white, save


@pytest.mark.parametrize(
    ("to_xyz", "gamma"),
    [
        pytest.param(ADOBE_TO_XYZ, 563 / 256, id="adobe"),
        pytest.param(SRGB_TO_XYZ[:, [2, 0, 1]], 2.0, id="swapped primaries"),
        pytest.param(SRGB_TO_XYZ, 1.0, id="linear"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_rgb_profile_is_converted_to_srgb(file_format: str, to_xyz: Pixels, gamma: float) -> None:
    """An image with an RGB profile is converted to sRGB by the profile's primaries and gamma."""
    pixels = noise()
    options = {"lossless": True} if file_format == "WEBP" else {}

    result = decoded(save(pixels, file_format, icc_profile=rgb_profile(to_xyz, gamma), **options))

    difference = np.abs(result - srgb_from_xyz((pixels / 255.0) ** gamma @ to_xyz.T))
    assert difference.max() <= 1.5
    assert np.abs(result - pixels.astype(int)).max() > 30  # otherwise an unchanged image would pass


def test_srgb_profile_changes_nothing() -> None:
    """An image with an sRGB profile keeps its pixels."""
    pixels = noise()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert (decoded(save(pixels, "PNG", icc_profile=srgb)) == pixels).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_profile_is_converted_to_srgb(bits: int) -> None:
    """A grey image with a linear profile gets the curve of sRGB, in 8 and in 16 bits."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    stored = ramp if bits == 8 else ramp.astype(np.uint16) * 257

    result = decoded(save(stored, "PNG", icc_profile=grey_profile(1.0)))

    assert np.abs(result - srgb_from_xyz((ramp / 255)[..., None] * D50)).max() <= 1.5


def test_rgb_profile_of_a_grey_image_is_applied() -> None:
    """A grey image that kept an RGB profile is converted as equal parts of red, green and blue."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))

    result = decoded(save(ramp, "PNG", icc_profile=rgb_profile(SRGB_TO_XYZ, 1.0)))

    assert np.abs(result - srgb_from_xyz((ramp / 255)[..., None] * D50)).max() <= 1.5


def test_the_profile_is_applied_before_alpha() -> None:
    """Colours are first converted to sRGB and then composed over white; alpha itself is not converted."""
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
    """A profile that is broken, or is for another colour space than the image's, is ignored with a note."""
    pixels = noise()

    result = decode_image(save(pixels, "PNG", icc_profile=profile), "a.png")

    assert (np.asarray(result.picture) == pixels).all()
    assert result.notes == (PROFILE_NOTE,)


def test_a_jpeg_profile_with_a_missing_part_is_ignored() -> None:
    """A JPEG's profile of which a part is missing is ignored with a note."""
    data = save(noise(), "JPEG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2))
    marker = data.index(b"ICC_PROFILE\0")

    result = decode_image(data[: marker + 13] + b"\2" + data[marker + 14 :], "a.jpg")

    assert result.notes == (PROFILE_NOTE,)


def cmyk_patches() -> Bytes:
    """Return flat patches of the 16 combinations of full inks, 16 x 16 pixels each, shape (16, 256, 4)."""
    inks = np.array(list(np.ndindex(2, 2, 2, 2)), np.uint8) * 255
    return np.tile(np.repeat(inks, 16, axis=0), (16, 1, 1))


@pytest.mark.parametrize(("file_format", "tolerance"), [("TIFF", 1.5), ("JPEG", 3)])
def test_cmyk_profile_is_converted_to_srgb(file_format: str, tolerance: float) -> None:
    """CMYK is converted to the colours that its profile gives the inks, also in a JPEG, which stores them inverted."""
    picture = Image.frombytes("CMYK", (256, 16), cmyk_patches().tobytes())
    options = {"quality": 100} if file_format == "JPEG" else {}
    corners = cmyk_corners().reshape(16, 3).astype(float)
    lab = np.stack([corners[:, 0] / 2.55, corners[:, 1] - 128, corners[:, 2] - 128], -1)

    result = decoded(save(picture, file_format, icc_profile=cmyk_profile(), **options))

    assert np.abs(result - np.repeat(srgb_from_lab(lab), 16, axis=0)).max() <= tolerance


def test_cmyk_without_a_profile_is_converted_naively() -> None:
    """CMYK without a profile is converted by (1 - ink)(1 - black), with a note."""
    inks = noise(32, 32, 4)

    result = decode_image(save(Image.frombytes("CMYK", (32, 32), inks.tobytes()), "TIFF"), "a.tif")

    expected = (255.0 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    assert np.abs(np.asarray(result.picture) - expected).max() <= 1
    assert result.notes == (CMYK_NOTE,)


def test_cmyk_with_an_rgb_profile_has_two_notes() -> None:
    """CMYK with an RGB profile has two notes: the profile does not fit, and the conversion is naive."""
    picture = Image.new("CMYK", (32, 32), (0, 255, 255, 0))

    result = decode_image(save(picture, "TIFF", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2)), "a.tif")

    assert (np.asarray(result.picture) == (255, 0, 0)).all()
    assert result.notes == (PROFILE_NOTE, CMYK_NOTE)


@pytest.mark.parametrize("inks", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 200, 40, 30), (0, 0, 0, 255)])
def test_cmyk_jpeg_of_adobe_is_not_inverted(inks: tuple[int, int, int, int]) -> None:
    """A CMYK JPEG, in which Adobe stores 255 - ink, is not decoded as a negative."""
    data = save(Image.new("CMYK", (32, 32), inks), "JPEG", quality=100)
    assert b"Adobe" in data

    result = decode_image(data, "a.jpg")

    expected = (255.0 - np.array(inks[:3])) * (255 - inks[3]) / 255
    assert np.abs(np.asarray(result.picture) - expected).max() <= 2


def test_ycck_jpeg_is_decoded() -> None:
    """In a YCCK JPEG, three inks are stored as YCbCr, and black inverted: no cyan and some black is dark red."""
    inks_as_ycc, black = (179, 171, 0), 51  # C, M, Y = 0, 255, 255 by the formulas of BT.601
    stored = tuple(255 - value for value in (*inks_as_ycc, 255 - black))  # as Pillow inverts while it saves
    data = save(Image.new("CMYK", (32, 32), stored), "JPEG", quality=100)
    adobe = data.index(b"Adobe")
    ycck = data[: adobe + 11] + b"\2" + data[adobe + 12 :]

    result = decode_image(ycck, "a.jpg")

    assert np.abs(np.asarray(result.picture).astype(int) - (204, 0, 0)).max() <= 3
