"""`strip_metadata` removes metadata, keeps all that pixels need, and refuses structures that would take too long."""

import struct
import time
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst_core.errors import BadImage
from nst_core.images import decode_image
from nst_core.images.colour.profiles import usable_profile
from nst_core.images.files.strip_metadata import strip_metadata
from tests import odd_pictures as odd

PROFILE_NOTE = "broken or unfitting colour profile ignored"
STILLS = odd.stills()

SECONDS = 5.0
"""The most CPU seconds of a test; without the limits it would be a minute or more. A busy machine takes three times as
long as an idle one."""


def refusal(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode_image(data, "a")
    assert caught.value.reason == "too_costly"
    return str(caught.value)


def notes_of(data: bytes) -> tuple[str, ...]:
    return decode_image(data, "a").notes


@pytest.mark.parametrize("kind", STILLS)
def test_everything_that_pixels_need_is_kept(kind: str) -> None:
    """Pillow reads the same pixels, orientation, profile, transparency and frames from the stripped file as before."""
    whole, slim = (Image.open(BytesIO(data)) for data in (STILLS[kind], strip_metadata(STILLS[kind], "a")))

    assert (np.asarray(whole) == np.asarray(slim)).all()
    assert whole.getexif().get(274) == slim.getexif().get(274)
    for fact in ("icc_profile", "transparency"):
        assert whole.info.get(fact) == slim.info.get(fact)
    assert getattr(whole, "n_frames", 1) == getattr(slim, "n_frames", 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: odd.png_with(odd.chunk(b"tEXt", b"workflow\0" + b"{}" * 1_000_000)),
        lambda: odd.png_with(*[odd.chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(30_000_000)))] * 3),
        lambda: odd.png_with(odd.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0not packed")),
        lambda: odd.png_with(after=odd.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 2_000_000)),
        lambda: odd.png_with(odd.chunk(b"tEXt", b"x")[:-1] + b"?"),
        lambda: odd.jpeg_with(odd.segment(0xFE, bytes(65_000)) * 100),
        lambda: odd.jpeg_with(odd.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0") * 100),
        lambda: odd.jpeg_with(odd.segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 100)),
        lambda: odd.gif_with(b"!\xfe" + (b"\xff" + bytes(255)) * 10_000 + b"\0"),
        lambda: odd.gif_with(b"!\xff\x0bXMP DataXMP" + b"\1x" * 1000 + b"\0"),
    ],
    ids=["text", "bombs", "broken", "behind", "checksum", "comments", "xmp", "photoshop", "gif", "gif xmp"],
)
def test_text_of_any_size_is_removed_without_a_note(make: Callable[[], bytes]) -> None:
    """Text beside the pixels, however large, broken or highly compressed, is removed quickly and without a note."""
    data = make()
    began = time.process_time()

    assert notes_of(data) == ()
    assert len(strip_metadata(data, "a")) < 20_000
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: odd.tiff_of_strips(200_001), "a TIFF of at most 200,000 strips"),
        (lambda: odd.tiff_of_tiles(200_001), "a TIFF of at most 200,000 tiles"),
        (lambda: odd.tiff(odd.SIZE, *[(60_000, "I", [1])] * 5000), "a TIFF of at most 4,096 tags"),
        (lambda: odd.tiff(odd.SIZE, *[(60_000, "I", [1])] * 5000, big=True), "a TIFF of at most 4,096 tags"),
        (lambda: odd.jpeg_with(odd.segment(0xFE) * 10_001), "a JPEG of at most 10,000 segments"),
        (lambda: odd.jpeg_of_scans(101, (640, 480)), "a JPEG of at most 100 scans"),
        (lambda: odd.gif_with(b"!\xfe\0" * 1_000_001), "a GIF of at most 1,000,000 pieces"),
        (lambda: odd.gif_with(b"!\xfe" + b"\1x" * 1_000_001 + b"\0"), "a GIF of at most 1,000,000 pieces"),
        (lambda: odd.gif_with(after=b"!\xfe" + b"\1x" * 1_000_001 + b"\0"), "a GIF of at most 1,000,000 pieces"),
        (lambda: odd.png_with(odd.chunk(b"teXt") * 200_001), "a PNG of at most 200,000 chunks"),
        (lambda: odd.png_with(odd.chunk(b"IDAT") * 200_001), "a PNG of at most 200,000 chunks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_too_many_parts_are_refused(make: Callable[[], bytes], found: str) -> None:
    """A file of more parts than any program writes is refused quickly; the message has the limit and advice."""
    data = make()
    began = time.process_time()

    message = refusal(data)

    assert message == f"a: expected {found}, found more. Open it in a paint program and save it again, as PNG or JPEG."
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "make",
    [
        lambda: odd.tiff(odd.SIZE, (273, "I", [8] * 1000), (278, "I", [1]), (279, "I", [1] * 1000)),
        lambda: odd.jpeg_with(odd.segment(0xFE) * 9_900),
        lambda: odd.jpeg_of_scans(90, (640, 480)),
        lambda: odd.gif_with(b"!\xfe\0" * 400_000),
        lambda: odd.png_with(odd.chunk(b"teXt") * 199_000),
    ],
    ids=["strips", "segments", "scans", "pieces", "chunks"],
)
def test_many_parts_are_accepted(make: Callable[[], bytes]) -> None:
    """A file of as many parts as programs write, and some more, is decoded without a note."""
    assert notes_of(make()) == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: odd.jpeg_with(b"\xff" * 5_000_000),
        lambda: odd.jpeg_with(b"\xff\0" * 2_000_000),
        lambda: odd.gif_with(b"\1" * 5_000_000),
        lambda: odd.gif_with(after=b"\1" * 5_000_000),
    ],
    ids=["jpeg", "jpeg stuffed", "gif", "gif behind"],
)
def test_padding_is_skipped_quickly(make: Callable[[], bytes]) -> None:
    """Megabytes of padding between two parts are skipped quickly and without a note."""
    padded = make()
    began = time.process_time()

    assert notes_of(padded) == ()
    assert time.process_time() - began < SECONDS


def test_a_gif_is_not_searched_beyond_its_second_image() -> None:
    """Blocks after the second image of a GIF are not counted, so that a long animation is not refused."""
    film = STILLS["animated"][:-1] + b"!\xfe" + b"\1x" * 1_000_001 + b"\0;"

    assert notes_of(film) == ("several frames or pages: the first is used",)


def test_metadata_segments_of_a_jpeg_hide_no_table() -> None:
    """A JPEG is decoded upright after any number of metadata segments; of EXIF only the first megabyte is kept."""
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    exif = odd.segment(0xE1, turned) + odd.segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 100

    notes = odd.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0") * 100

    picture = decode_image(odd.jpeg_with(notes + exif), "a").picture

    assert picture.size == odd.SIZE[::-1]
    assert len(strip_metadata(odd.jpeg_with(exif), "a")) < 1_100_000


@pytest.mark.parametrize("elements", [1, 3000, 100_000])
def test_a_profile_of_matrices_alone_is_ignored(elements: int) -> None:
    """A profile that consists of up to 100,000 processing elements is ignored quickly, with a note."""
    began = time.process_time()

    assert notes_of(odd.save(odd.noise(), "TIFF", icc_profile=odd.profile_of_elements(elements))) == (PROFILE_NOTE,)
    assert time.process_time() - began < SECONDS


def test_a_profile_with_elements_and_curves_is_used() -> None:
    """Of a profile with both descriptions, the ordinary one is used, and the unbounded elements are ignored."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tags,) = struct.unpack_from(">I", srgb, 128)
    moved = bytearray(srgb[:132] + bytes(12) + srgb[132:])
    struct.pack_into(">I", moved, 128, tags + 1)
    for place in range(1, tags + 1):
        (offset,) = struct.unpack_from(">I", moved, 132 + 12 * place + 4)
        struct.pack_into(">I", moved, 132 + 12 * place + 4, offset + 12)
    element = odd.profile_of_elements(3000)[144:]
    struct.pack_into(">4sII", moved, 132, b"D2B1", len(moved), len(element))
    both = bytearray(bytes(moved) + element)
    struct.pack_into(">I", both, 0, len(both))
    picture = odd.noise()
    began = time.process_time()

    with_both = decode_image(odd.save(picture, "PNG", icc_profile=bytes(both)), "a")

    assert with_both.notes == ()
    assert np.abs(np.asarray(with_both.picture).astype(int) - np.asarray(picture)).max() <= 1
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("end", [0, 5, 130, 140, 150])
def test_a_profile_cut_short_is_not_read_beyond_its_end(end: int) -> None:
    """The search for unbounded tags in a profile that is cut short does not fail, and keeps its length."""
    assert len(usable_profile((odd.profile_of_elements(3) + bytes(100))[:end] + b"mpet")) == end + 4


def test_a_profile_of_more_than_10_mb_is_ignored() -> None:
    """A profile of more than ten megabytes, compressed or not, is ignored with a note; one of five is used."""
    large = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(5_000_000)
    too_large = large + bytes(6_000_000)
    bomb = odd.png_with(odd.chunk(b"iCCP", b"x\0\0" + zlib.compress(too_large)))

    assert notes_of(bomb) == (PROFILE_NOTE,)
    assert notes_of(odd.save(odd.noise(), "TIFF", icc_profile=too_large)) == (PROFILE_NOTE,)
    assert notes_of(odd.save(odd.noise(), "PNG", icc_profile=large)) == ()


def test_only_the_first_profile_of_a_png_is_read() -> None:
    """Of several profiles in a PNG only the first is kept, because Pillow would decompress each of thousands."""
    data = odd.png_with(odd.chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(9_000_000))) * 1000)
    began = time.process_time()

    assert notes_of(data) == (PROFILE_NOTE,)
    assert time.process_time() - began < SECONDS


def test_damaged_files_are_returned() -> None:
    """Damaged files are not refused by `strip_metadata`, but returned, and never longer than before."""
    for name, data in odd.damaged(seed=5, each=30):
        assert len(strip_metadata(data, name)) <= len(data)
    for beyond in (b"\xff" * 8, b"\0" * 7 + b"\x7f"):
        assert strip_metadata(b"II+\0\x08\0\0\0" + beyond, "a")
