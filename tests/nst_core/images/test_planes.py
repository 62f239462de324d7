"""TIFFs whose colours are stored in planes one after the other, and other TIFFs that Pillow alone would misread."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ImageCms

from nst_core.images import decode_image
from tests.picture_files import FRAMES_NOTE, Pixels, decoded, refusal, tiff_by_tifffile


def values_of(kind: str, channels: int) -> Pixels:
    """Return random values over the whole range of an integer type, the last channel not below the others."""
    values = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (20, 24, channels), kind, endpoint=True)
    values[..., -1] = values.max(axis=-1)  # colours that are multiplied by alpha are at most alpha
    return values


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "photometric", "channels", "extra"),
    [
        ("uint8", "rgb", 3, None),
        ("uint16", "rgb", 3, None),
        ("uint16", "rgb", 4, "unassalpha"),
        ("uint8", "rgb", 4, "assocalpha"),
        ("uint16", "rgb", 4, "assocalpha"),
        ("uint8", "rgb", 4, "unspecified"),
        ("uint8", "minisblack", 2, "unassalpha"),
        ("uint8", "minisblack", 2, "assocalpha"),
        ("uint8", "minisblack", 2, "unspecified"),
        ("uint16", "separated", 4, None),
        ("uint8", "cielab", 3, None),
    ],
)
def test_planes_give_the_pixels_of_interleaved_colours(
    kind: str, photometric: str, channels: int, extra: str | None, order: str, layout: dict[str, Any]
) -> None:
    """Colours, with or without alpha, have the same pixels in planes as side by side, but for rounding."""
    values = values_of(kind, channels)
    options = {"photometric": photometric, "extrasamples": extra and [extra], "byteorder": order, **layout}

    whole = decode_image(tiff_by_tifffile(values, **options), "a.tif", keep_alpha=True)
    planes = decode_image(tiff_by_tifffile(values, in_planes=True, **options), "a.tif", keep_alpha=True)

    assert planes.notes == whole.notes
    # Of compressed planes of 16 bits the upper eight are read; alpha then changes which colours are extended.
    most = 3 if kind == "uint16" and "compression" in layout else 0
    difference = np.subtract(planes.picture, whole.picture, dtype=np.int16)
    assert np.abs(difference).max() <= most
    assert (planes.alpha is None) == (whole.alpha is None)
    if planes.alpha is not None and whole.alpha is not None:
        assert np.abs(np.subtract(planes.alpha, whole.alpha, dtype=np.int16)).max() <= most


def test_planes_keep_profile_orientation_and_further_pages() -> None:
    """Of an image in planes the colour profile is applied, the orientation too, and a second page is noted."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = values_of("uint16", 3)
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in (values, values[::-1]):
            writer.write(
                np.moveaxis(page, -1, 0),
                photometric="rgb",
                planarconfig="separate",
                iccprofile=profile,
                extratags=[(274, 3, 1, 6, True)],
                metadata=None,
            )

    result = decode_image(buffer.getvalue(), "a.tif")

    assert result.notes == (FRAMES_NOTE,)
    assert result.origin.profile == profile
    expected = np.rot90(np.rint(values / 257), -1)
    assert np.abs(np.asarray(result.picture) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["int16", "int32"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_signed_numbers_of_either_byte_order_are_read(kind: str, order: str, compression: str | None) -> None:
    """Grey of signed numbers is divided by 257, whichever the order of its bytes, compressed or not."""
    values = values_of("int16", 1)[..., 0].astype(kind)

    pixels = decoded(tiff_by_tifffile(values, photometric="minisblack", byteorder=order, compression=compression))

    assert (pixels[..., 0] == np.rint(values / 257)).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_grey_in_a_single_plane_is_not_turned(kind: str, order: str) -> None:
    """Some programs write of grey, too, that its colours are in planes; there is one, which is the image."""
    values = (np.random.default_rng(0).random((20, 24)) * (1 if kind == "float32" else 32767)).astype(kind)
    options = {"photometric": "minisblack", "byteorder": order, "compression": "zlib"}
    data = tiff_by_tifffile(values, extratags=[(65000, 3, 1, 2, True)], **options)
    private, planes = (struct.pack(f"{order}HHI", tag, 3, 1) for tag in (65000, 284))
    assert data.count(private) == 1

    grey = decode_image(data.replace(private, planes), "a.tif").picture
    assert np.array_equal(grey, decode_image(tiff_by_tifffile(values, **options), "a.tif").picture)


def test_planes_in_a_rare_compression_are_refused() -> None:
    """Planes that neither Pillow nor tifffile reads rightly are refused, and not shown as other pixels."""
    data = tiff_by_tifffile(values_of("uint8", 3), in_planes=True, photometric="cielab", compression="zlib")
    with tifffile.TiffFile(BytesIO(data)) as file:
        at = file.pages[0].tags["Compression"].valueoffset
    lzw = (5).to_bytes(2, "little")

    error = refusal(data[:at] + lzw + data[at + 2 :])

    assert error.reason == "unsupported_mode"
    assert "found a TIFF of planes that is packed in a rare way" in error.message


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("share", [0.99, 0.5])
def test_planes_that_are_cut_short_are_refused(layout: dict[str, Any], share: float) -> None:
    """An image in planes that is cut short is refused as truncated."""
    data = tiff_by_tifffile(values_of("uint8", 3), in_planes=True, photometric="cielab", **layout)

    assert refusal(data[: int(len(data) * share)]).reason == "truncated"
