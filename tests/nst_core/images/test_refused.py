"""Refusal of files that are no image, an incomplete one, or one of an unsupported format or depth."""

import pickle
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from nst_core.images import decode_image
from nst_core.images.files.credits import Credits
from tests.picture_files import STILLS, noise, refusal, save, tiff_file


@pytest.mark.parametrize("share", [0.99, 0.5, 0.02])
@pytest.mark.parametrize("kind", STILLS)
@pytest.mark.parametrize("lenient", [False, True])
def test_a_truncated_file_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str, share: float, lenient: bool) -> None:
    """A file that is cut short is refused as truncated, even if a program has set Pillow to accept truncated files."""
    whole = STILLS[kind]
    decode_image(whole, "whole")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)

    error = refusal(whole[: int(len(whole) * share)])

    assert error.reason == "truncated"
    assert "cut short or damaged" in error.message and "0x" not in error.message


@pytest.mark.parametrize("kind", STILLS)
def test_a_mere_signature_is_refused_as_truncated(kind: str) -> None:
    """The first 16 bytes of an image alone are refused as a truncated image."""
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
    """A file of an unsupported format is refused; the message names the format and says what to do."""
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
def test_a_file_that_is_no_image_is_refused(data: bytes, found: str) -> None:
    """A file that is no image is refused as `not_an_image`, and the message says what was found."""
    error = refusal(data)

    assert error.reason == "not_an_image"
    assert f"found {found}." in error.message


def test_pillow_is_not_given_other_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an unsupported format never reaches Pillow's parser, as that of EPS would start Ghostscript."""
    opened: list[bytes] = []
    Image.init()
    _, accept = Image.OPEN["EPS"]
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *file: opened.append(file), accept))

    refusal(save(Image.fromarray(noise()), "EPS"))

    assert opened == []


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
def test_floats_from_0_to_1_are_read_as_srgb(channels: int, kind: str) -> None:
    """Floating point numbers from 0 to 1 without a profile are taken as sRGB with white at 1, and a note says so."""
    values = np.random.default_rng(0).random((32, 32, channels))
    values[..., 3:] = 1
    bits, photometric = (8 * np.dtype(kind).itemsize,) * channels, 1 if channels == 1 else 2
    more = {"extra_sample": 2} if channels == 4 else {}
    content = values.astype(kind).tobytes()

    result = decode_image(tiff_file((32, 32), bits, photometric, content, kind[0], sample_format=3, **more), "a.tif")

    assert np.abs(np.asarray(result.picture) - 255 * values[..., :3]).max() <= 0.51 + 255 * (kind == "<f2") / 2048
    assert result.notes == ("floating point numbers without a colour profile taken as sRGB, white at 1",)


def test_credits_of_a_float_tiff_are_read() -> None:
    """The credits of a TIFF of floating point numbers are read, like those of any other file."""
    buffer = BytesIO()
    tags = [(tag, 2, 0, text.encode(), True) for tag, text in ((270, "A pier"), (315, "José"), (33432, "© 1999"))]
    tifffile.imwrite(buffer, np.full((32, 32, 3), 0.5, "<f4"), photometric="rgb", extratags=tags, metadata=None)

    assert decode_image(buffer.getvalue(), "a.tif").origin.credit == Credits("José", "© 1999", "A pier")


@pytest.mark.parametrize("value", [1.01, -0.01, float("nan"), float("inf")])
def test_floats_beyond_0_to_1_are_refused(value: float) -> None:
    """Floating point numbers below 0 or above 1 are refused with their range, as any of them could be white."""
    values = np.full((32, 32), 0.5, "<f4")
    values[3, 4] = value

    error = refusal(tiff_file((32, 32), (32,), 1, values.tobytes(), sample_format=3))

    assert error.reason == "unsupported_mode"
    assert "expected 8 or 16 bits per channel, found floating point numbers from" in error.message


@pytest.mark.parametrize("value", [65536, -1])
def test_32_bit_integers_beyond_65535_are_refused(value: int) -> None:
    """A TIFF of 32-bit integers below 0 or above 65535 is refused, and the message has the value."""
    values = np.zeros((32, 32), np.int32)
    values[3, 4] = value

    error = refusal(save(Image.fromarray(values), "TIFF"))

    assert error.reason == "unsupported_mode"
    assert str(value) in error.message


def test_a_12_bit_jpeg_is_refused() -> None:
    """A JPEG of 12 bits is refused as an unsupported mode."""
    data = bytearray(STILLS["jpeg"])
    data[data.index(b"\xff\xc0") + 4] = 12

    assert refusal(bytes(data)).reason == "unsupported_mode"


def test_a_camera_raw_file_is_refused() -> None:
    """A TIFF that begins with a preview, as DNG and NEF do, is refused, because the preview is not the image itself."""
    error = refusal(tiff_file((64, 40), (8, 8, 8), 2, noise().tobytes(), subfile=1))

    assert error.reason == "unsupported_format"
    assert "camera raw" in error.message


def test_a_png_without_its_end_is_truncated() -> None:
    """A PNG that lacks 1 to 39 bytes at its end is refused as truncated, even if Pillow would decode it."""
    whole = STILLS["png"]

    assert {refusal(whole[:-lost]).reason for lost in range(1, 40)} == {"truncated"}


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    """A PNG whose header has a wrong checksum is refused as truncated."""
    data = bytearray(STILLS["png"])
    data[30] ^= 1

    assert refusal(bytes(data)).reason == "truncated"


def test_memory_error_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError is not turned into a refusal, because the same image may be decoded on another machine."""

    def out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", out_of_memory)

    with pytest.raises(MemoryError):
        decode_image(STILLS["png"], "a.png")


def test_refusals_survive_pickling() -> None:
    """A refusal that is pickled, as between processes, keeps its name, reason and message."""
    error = refusal(b"")

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.name, copy.reason, copy.message) == ("cats/tom.png", "not_an_image", error.message)
    assert str(copy) == str(error) == f"cats/tom.png: {error.message}"
