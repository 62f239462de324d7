"""Composition of transparent images over white."""

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nst_core.images import decode_image
from tests.picture_files import (
    WHITE_NOTE,
    alpha_table,
    decoded,
    noise,
    over_white,
    png_chunk,
    png_file,
    save,
    tiff_file,
)


@pytest.mark.parametrize(
    ("file_format", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_rgba_over_white(file_format: str, options: dict[str, Any]) -> None:
    """A colour c with alpha a becomes c*a + 255*(1-a), rounded, for each of the 65536 pairs, with a note."""
    colour, alpha = alpha_table()

    result = decode_image(save(np.dstack([colour, alpha]), file_format, **options), "a.png")

    assert (np.asarray(result.picture) == over_white(colour, alpha)).all()
    assert result.notes == (WHITE_NOTE,)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_grey_alpha_over_white(file_format: str) -> None:
    """Grey with alpha is composed over white."""
    colour, alpha = alpha_table()

    result = decode_image(save(np.dstack([colour[..., 0], alpha]), file_format), "a.png")

    assert (np.asarray(result.picture) == over_white(colour[..., :1], alpha)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_premultiplied_alpha_over_white(channels: int) -> None:
    """The colours of a TIFF with premultiplied alpha are not multiplied by alpha again."""
    colour, alpha = (part[64:] for part in alpha_table())
    premultiplied = np.rint(colour[..., :channels] * (alpha[..., None] / 255)).astype(np.uint8)
    bits, photometric = (8,) * (channels + 1), 1 if channels == 1 else 2
    content = np.dstack([premultiplied, alpha]).tobytes()

    result = decode_image(tiff_file((256, 192), bits, photometric, content, extra_sample=1), "a.tif")

    assert np.abs(np.asarray(result.picture) - over_white(colour[..., :channels], alpha)).max() <= 2


def test_opaque_alpha_has_no_note() -> None:
    """An alpha channel that is opaque everywhere changes no pixel and has no note."""
    pixels = noise()
    opaque = np.full((40, 64), 255, np.uint8)

    assert (decoded(save(np.dstack([pixels, opaque]), "PNG")) == pixels).all()


@pytest.mark.parametrize("transparency", [3, bytes([0, 64, 128, 255])])
def test_palette_transparency(transparency: int | bytes) -> None:
    """A palette image with one transparent index, or with an alpha for each index, is composed over white."""
    picture = Image.fromarray(noise(channels=1)[..., 0] % 4).convert("P")
    picture.putpalette([250, 10, 20, 10, 200, 30, 5, 6, 7, 90, 90, 250])
    alphas = [255, 255, 255, 0] if isinstance(transparency, int) else list(transparency)
    index = np.asarray(picture)

    result = decode_image(save(picture, "PNG", transparency=transparency), "a.png")

    assert (np.asarray(result.picture) == over_white(np.asarray(picture.convert("RGB")), np.array(alphas)[index])).all()
    assert result.notes == (WHITE_NOTE,)


def test_palette_with_alpha_channel() -> None:
    """A palette TIFF with an alpha channel beside its indices, mode PA, is composed over white."""
    index, alpha = noise(32, 32, seed=1)[..., 0], noise(32, 32, seed=2)[..., 0]
    colours = noise(256, 1, seed=3)[:, 0]
    palette = tuple(int(value) * 257 for value in colours.T.ravel())
    content = np.dstack([index, alpha]).tobytes()

    result = decode_image(tiff_file((32, 32), (8, 8), 3, content, extra_sample=2, palette=palette), "a.tif")

    assert (np.asarray(result.picture) == over_white(colours[index], alpha)).all()


def test_transparent_index_of_a_gif() -> None:
    """The pixels of a GIF's transparent index become white."""
    picture = Image.fromarray(noise()).quantize(8)

    result = decode_image(save(picture, "GIF", transparency=2), "a.gif")

    expected = np.asarray(picture.convert("RGB")).copy()
    expected[np.asarray(picture) == 2] = 255
    assert (np.asarray(result.picture) == expected).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_of_a_png(depth: int) -> None:
    """The transparent grey of a PNG is a value of the file's own bit depth, and only its pixels become white."""
    byte = noise(1, 1, 32)[0, 0]
    values = np.unpackbits(byte).reshape(-1, depth) @ (1 << np.arange(depth)[::-1])
    transparent = int(values[5]) if depth > 1 else 0
    extra = png_chunk(b"tRNS", struct.pack(">H", transparent))

    result = decode_image(png_file((len(values), 16), depth, 0, [byte.tobytes()] * 16, extra), "a.png")

    grey = np.rint(values * 255 / (2**depth - 1))
    assert (np.asarray(result.picture) == np.where(values == transparent, 255, grey)[None, :, None]).all()
    assert result.notes == (WHITE_NOTE,)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour_of_a_png(depth: int) -> None:
    """Only the pixels of the transparent colour of an RGB PNG become white."""
    values = np.random.default_rng(0).integers(0, 2**depth, (16, 16, 3))
    extra = png_chunk(b"tRNS", struct.pack(">HHH", *values[3, 5]))
    rows = [row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in values]

    result = decode_image(png_file((16, 16), depth, 2, rows, extra), "a.png")

    expected = values >> (depth - 8)
    expected[3, 5] = 255
    assert (np.asarray(result.picture) == expected).all()


@pytest.mark.parametrize("opacity", [64, 128, 254])
def test_kept_transparency_leaves_the_colours_of_half_transparent_parts(opacity: int) -> None:
    """With `keep_alpha`, each pixel of a half transparent area, such as glass, keeps its own colour; what is fully
    transparent continues the colours next to it.
    """
    pixels = noise()
    alpha = np.full((*pixels.shape[:2], 1), opacity, np.uint8)
    alpha[:, :8], pixels[:, :8] = 0, 255
    kept = decode_image(save(np.dstack([pixels, alpha]), "PNG"), "a.png", keep_alpha=True)

    colours = np.asarray(kept.picture)
    assert (colours[:, 8:] == pixels[:, 8:]).all()
    assert colours[:, :4].max() < 255
