"""Refusal of images that are too large, too small or too elongated, and of decompression bombs."""

import struct
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nst_core
from nst_core.images import MAX_BYTES
from tests.picture_files import decoded, noise, png_file, refusal, save, tiff_file


def test_a_file_of_more_than_500_mb_is_refused() -> None:
    """A file of more than 500 MB is refused by its size alone."""
    error = refusal(bytes(MAX_BYTES + 1))  # zeros that are never touched, and so take no memory

    assert error.reason == "too_large"
    assert str(error) == "cats/tom.png: expected at most 500 MB, found 500.0 MB. Make it smaller."


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (1, 1), (1, 400)])
def test_an_image_of_a_side_below_16_px_is_refused(size: tuple[int, int]) -> None:
    """An image with a side below 16 pixels is refused as too small, even if it is too elongated too; 16 are enough."""
    error = refusal(save(Image.new("RGB", size), "PNG"))

    assert error.reason == "too_small"
    assert "at least 16" in error.message and f"{size[0]} x {size[1]}" in error.message
    assert decoded(save(Image.new("RGB", (16, 16)), "PNG")).shape == (16, 16, 3)


@pytest.mark.parametrize("size", [(16, 321), (321, 16)])
def test_an_image_of_more_than_20_to_1_is_refused(size: tuple[int, int]) -> None:
    """An image whose sides are more than 20 to 1 is refused; one of exactly 20 to 1 is accepted."""
    error = refusal(save(Image.new("RGB", size), "PNG"))

    assert error.reason == "too_elongated"
    assert f"{size[0]} x {size[1]}" in error.message
    assert decoded(save(Image.new("RGB", (16, 320)), "PNG")).shape == (320, 16, 3)


@cache
def bit_png(side: int) -> bytes:
    """Return a complete black 1-bit PNG; one of 18000 x 18000 pixels has 40 kB."""
    return png_file((side, side), 1, 0, [bytes(-(-side // 8))] * side)


def with_size_18000(file_format: str) -> bytes:
    """Return a small file whose header claims 18000 x 18000 pixels."""
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
        answer = "accepted"
    except BadImage as error:
        answer = f"{error.reason} {error.message}"
    print((peak_kb() - before) // 1024, answer)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """What a new process prints for each of six bombs, and then for an image of 25 megapixels.

    Each pair is the megabytes by which the peak memory has risen so far, and the answer.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    formats = ("JPEG", "GIF", "BMP", "WEBP", "TIFF")
    bombs = [bit_png(18000), *(with_size_18000(file_format) for file_format in formats)]
    assert max(map(len, bombs)) < 50_000
    folder = tmp_path_factory.mktemp("bombs")
    files = [save(noise(), "PNG"), *bombs, bit_png(5000)]
    paths = [folder / str(number) for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    root = Path(nst_core.__file__).parents[1]
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    lines = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(int(megabytes), answer) for megabytes, answer in (line.split(" ", 1) for line in lines)]


def test_bombs_are_refused_by_their_header(measured: list[tuple[int, str]]) -> None:
    """Small files that would decompress to 324 megapixels are refused by their header, within 16 MB of memory."""
    bombs = measured[:-1]

    expected = "too_many_pixels expected at most 300 megapixels, found 324.0 (18000 x 18000). Make it smaller."
    assert [answer for _, answer in bombs] == [expected] * 6
    assert bombs[-1][0] < 16


def test_the_bomb_measurement_notices_a_decoded_image(measured: list[tuple[int, str]]) -> None:
    """The measurement of the test above works: an image of 25 megapixels is accepted and takes at least 75 MB."""
    megabytes, answer = measured[-1]

    assert answer == "accepted"
    assert megabytes >= 75


@pytest.mark.parametrize(("side", "megapixels"), [(17400, "302.8"), (18000, "324.0")])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_bombs_are_refused_whatever_warnings_do(side: int, megapixels: str, action: Any) -> None:
    """A bomb is refused with our message in place of Pillow's own, whether warnings are errors or are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        error = refusal(bit_png(side))

    assert error.reason == "too_many_pixels"
    assert f"at most 300 megapixels, found {megapixels}" in error.message


def test_the_limit_holds_without_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of pixels holds even if a program has switched off Pillow's own limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

    assert refusal(bit_png(17321)).reason == "too_many_pixels"
