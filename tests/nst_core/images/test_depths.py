"""Decoding of 1, 2, 4, 12, 16 and 32 bits, palettes, and colour spaces other than RGB."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from nst_core.images.colour.srgb import split_alpha, to_srgb
from tests.icc import srgb_from_lab
from tests.picture_files import Pixels, decoded, grey_ramp_16, noise, png_file, refusal, save, tiff_file

RAMP_FILES: dict[str, Callable[[Pixels], bytes]] = {
    "png": lambda ramp: save(ramp, "PNG"),
    "little-endian tiff": lambda ramp: save(ramp, "TIFF"),
    "compressed tiff": lambda ramp: save(ramp, "TIFF", compression="tiff_deflate"),
    "big-endian tiff": lambda ramp: tiff_file((256, 256), (16,), 1, ramp.astype(">u2").tobytes(), ">"),
    "32-bit tiff": lambda ramp: save(Image.fromarray(ramp.astype(np.int32)), "TIFF"),
}


@pytest.mark.parametrize("kind", RAMP_FILES)
def test_16_bit_grey_is_divided_by_257(kind: str) -> None:
    """Each of the 65536 grey values v is decoded to v / 257, rounded, so that none is clipped."""
    ramp = grey_ramp_16()

    pixels = decoded(RAMP_FILES[kind](ramp))

    assert (pixels == np.rint(ramp / 257)[..., None]).all()


def test_signed_16_bit_tiff_is_read_unless_negative() -> None:
    """Signed 16-bit grey is decoded on the same scale; an image with a negative value is refused."""
    ramp = (grey_ramp_16() // 2).astype("<i2")

    assert (
        decoded(tiff_file((256, 256), (16,), 1, ramp.tobytes(), sample_format=2))[..., 0] == np.rint(ramp / 257)
    ).all()
    ramp[0, 0] = -1
    assert refusal(tiff_file((256, 256), (16,), 1, ramp.tobytes(), sample_format=2)).reason == "unsupported_mode"


def test_16_bit_white_is_zero_is_inverted() -> None:
    """In a 16-bit TIFF whose photometric tag is 0, the value 0 is white and 65535 is black."""
    ramp = grey_ramp_16()

    pixels = decoded(tiff_file((256, 256), (16,), 0, ramp.astype("<u2").tobytes()))

    assert (pixels[..., 0] == 255 - np.rint(ramp / 257)).all()


@pytest.mark.parametrize("photometric", [0, 1])
def test_12_bit_grey_is_scaled_from_4095(photometric: int) -> None:
    """In a 12-bit TIFF 4095 is white; one in which 0 is white is refused."""
    ramp = np.arange(4096).reshape(64, 64)
    first, second = ramp[:, ::2], ramp[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8)
    data = tiff_file((64, 64), (12,), photometric, packed.tobytes())
    if photometric == 0:  # Pillow cannot decode it
        assert refusal(data).reason == "unsupported_mode"
        return

    assert (decoded(data)[..., 0] == np.rint(ramp * 255 / 4095)).all()


@pytest.mark.parametrize("with_alpha", [False, True])
def test_16_bit_colour_png(with_alpha: bool) -> None:
    """16-bit RGB or RGBA of a PNG is decoded within 1 of v / 257."""
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, 4)).astype(">u2")
    values[..., 3] = 65535
    values = values if with_alpha else values[..., :3]

    pixels = decoded(png_file((32, 32), 16, 6 if with_alpha else 2, [row.tobytes() for row in values]))

    assert np.abs(pixels - np.rint(values[..., :3] / 257)).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colour_tiff(order: str) -> None:
    """16-bit RGB of a TIFF, of either byte order, is decoded within 1 of v / 257."""
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, 3)).astype(order + "u2")

    pixels = decoded(tiff_file((32, 32), (16, 16, 16), 2, values.tobytes(), order))

    assert np.abs(pixels - np.rint(values / 257)).max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_png_of_few_bits_is_scaled_to_255(depth: int) -> None:
    """In a grey PNG of 1, 2, 4 or 8 bits the largest value is white, and the others are spaced evenly."""
    white = 2**depth - 1
    byte = noise(1, 1, 16)[0, 0]
    bits = np.unpackbits(byte).reshape(-1, depth)
    values = bits @ (1 << np.arange(depth)[::-1])

    pixels = decoded(png_file((len(values), 16), depth, 0, [byte.tobytes()] * 16))

    assert (pixels == (values * 255 // white)[None, :, None]).all()


def test_palette_colours_are_exact() -> None:
    """A PNG or GIF with a palette is decoded to the palette's colours."""
    picture = Image.fromarray(noise()).quantize(50)

    expected = np.asarray(picture.convert("RGB"))

    assert (expected == decoded(save(picture, "PNG"))).all()
    assert (expected == decoded(save(picture, "GIF"))).all()


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "RGBX"])
def test_other_modes_become_rgb(mode: str) -> None:
    """An image in another of Pillow's modes is converted to RGB, within 3 levels."""
    picture = Image.new("RGB", (20, 20), (200, 100, 50)).convert(mode)

    colour, alpha = split_alpha(picture, "a.tif")
    result, _ = to_srgb(colour, None, [])

    assert alpha is None and result.mode == "RGB"
    assert np.abs(np.asarray(result).astype(int) - (200, 100, 50)).max() <= 3


def test_ycbcr_tiff_is_converted_by_bt601() -> None:
    """Uncompressed YCbCr in a TIFF is converted by BT.601 at full range."""
    values = noise(32, 32)
    y, cb, cr = np.moveaxis(values.astype(float), -1, 0) - np.array([0, 128, 128])[:, None, None]
    expected = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1).clip(0, 255)

    assert np.abs(decoded(tiff_file((32, 32), (8, 8, 8), 6, values.tobytes())) - expected).max() <= 1.5


def test_lab_tiff_is_converted_to_srgb() -> None:
    """CIE Lab in a TIFF, with signed a and b, is converted to sRGB by the formulas of the CIE."""
    lab = np.stack(np.meshgrid(np.arange(30, 90, 4), np.arange(-16, 16, 2)), -1)
    lab = np.concatenate([lab, -lab[..., 1:]], -1)  # (16, 15, 3): L, a, b
    lab = np.repeat(lab, 2, axis=1)
    stored = np.concatenate([np.rint(lab[..., :1] * 2.55), lab[..., 1:] % 256], -1).astype(np.uint8)
    exact = np.concatenate([stored[..., :1] / 2.55, lab[..., 1:]], -1)

    pixels = decoded(tiff_file((30, 16), (8, 8, 8), 8, stored.tobytes()))

    assert np.abs(pixels - srgb_from_lab(exact)).max() <= 1.5
