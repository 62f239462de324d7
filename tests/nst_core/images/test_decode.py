"""Decoding of ordinary images, their orientation, and resizing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

import nst_core
from nst_core.images import decode_image, resize
from tests.icc import (
    ADOBE_TO_XYZ,
    rgb_profile,
)
from tests.picture_files import Pixels, decoded, noise, save


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
    """An 8-bit RGB image in a lossless format is decoded exactly, without a note."""
    pixels = noise()

    assert (pixels == decoded(save(pixels, file_format, **options))).all()


def test_jpeg_is_close() -> None:
    """Flat patches in a JPEG of quality 100 are decoded within 2 of their original levels."""
    pixels = noise(4, 4).repeat(16, axis=0).repeat(16, axis=1)

    assert np.abs(decoded(save(pixels, "JPEG", quality=100, subsampling=0)).astype(int) - pixels).max() <= 2


def test_the_decoded_image_keeps_nothing_of_its_file() -> None:
    """The decoded image is plain RGB, without the profile, resolution or class of the file's own image."""
    data = save(noise(), "PNG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2), dpi=(300, 300))

    result = decode_image(data, "a.png")

    assert (result.picture.mode, result.picture.info, type(result.picture)) == ("RGB", {}, Image.Image)


def test_the_extension_does_not_matter() -> None:
    """A PNG that is named .gif is decoded as a PNG."""
    pixels = noise()

    assert (pixels == np.asarray(decode_image(save(pixels, "PNG"), "tom.gif").picture)).all()


STORED_AS: dict[int, Callable[[Pixels], Pixels]] = {  # by EXIF 2.3, tag 274: where row 0 and column 0 belong
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
def test_every_orientation_is_turned_upright(file_format: str, options: dict[str, Any], orientation: int) -> None:
    """A lossless image stored in any of EXIF's eight orientations is decoded upright."""
    upright = noise(24, 40)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = np.ascontiguousarray(STORED_AS[orientation](upright))

    assert (upright == decoded(save(stored, file_format, exif=exif, **options))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_jpeg_is_turned_upright(orientation: int) -> None:
    """A JPEG is turned upright too: turned back, it has the pixels of the same file without EXIF."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(noise(24, 40))

    turned = decoded(save(stored, "JPEG", exif=exif))

    assert (STORED_AS[orientation](turned) == decoded(save(stored, "JPEG"))).all()


def test_orientation_6_shows_the_stored_left_on_top() -> None:
    """With orientation 6, of a phone held upright, the columns stored on the left become the rows on top."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, :5, 0] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6

    upright = decoded(save(stored, "PNG", exif=exif))

    assert upright.shape == (30, 20, 3)
    assert (upright[:5, :, 0] == 255).all() and (upright[5:, :, 0] == 0).all()


def test_broken_exif_is_ignored() -> None:
    """EXIF data that cannot be read is ignored with a note, and the pixels are decoded."""
    pixels = noise()

    result = decode_image(save(pixels, "PNG", exif=b"Exif\0\0garbage"), "a.png")

    assert (pixels == np.asarray(result.picture)).all()
    assert result.notes == ("broken EXIF data ignored",)


def test_resize_to_the_same_size_returns_the_image() -> None:
    """Resizing an image to its own size returns the same object."""
    picture = Image.fromarray(noise())

    assert resize(picture, 64, 40) is picture


def test_resize_keeps_gradients_and_flat_colours() -> None:
    """A resized image has the requested size; a gradient stays a gradient, and a flat colour stays the same colour."""
    gradient = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (64, 1, 3))

    small = np.asarray(resize(Image.fromarray(gradient), 64, 16)).astype(int)

    assert small.shape == (16, 64, 3)
    assert np.abs(small[0, 4:-4, 0] - (4 * np.arange(64) + 1.5)[4:-4]).max() <= 1
    assert (np.asarray(resize(Image.new("RGB", (20, 20), (1, 2, 3)), 55, 33)) == (1, 2, 3)).all()


def test_importing_images_does_not_import_torch() -> None:
    """`nst_core.images` is imported without torch, so that planning, which imports it, starts fast."""
    command = [sys.executable, "-c", "import sys, nst_core.images; print('torch' in sys.modules)"]
    root = Path(nst_core.__file__).parents[1]

    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"
