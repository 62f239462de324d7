"""Whatever its bytes, a file is either decoded or refused with a documented reason."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nst_core.errors import BadImage
from nst_core.images import decode_image
from tests.icc import (
    ADOBE_TO_XYZ,
    rgb_profile,
)
from tests.picture_files import STILLS, noise, save, three_frames

REASONS = set(re.findall(r"`(\w+)`", BadImage.__doc__ or ""))


def check_decoded_or_refused(data: bytes) -> None:
    """Check that a file is decoded to an RGB image, or refused by a BadImage with a documented reason."""
    try:
        picture = decode_image(data, "fuzz").picture
    except BadImage as error:
        assert error.reason in REASONS  # noqa: PT017  # both outcomes are correct
        return
    assert picture.mode == "RGB" and min(picture.size) >= 16
    picture.tobytes()


FUZZ = settings(
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
SIGNATURES = [b"", b"\0\0\0\x18ftypheic", b"<svg", *(data[:40] for data in STILLS.values())]


@FUZZ
@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=400))
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_raise_only_bad_image(start: bytes, rest: bytes) -> None:
    """Random bytes, alone or after the first 40 bytes of an image, raise no error but BadImage."""
    check_decoded_or_refused(start + rest)


TO_MUTATE = [
    *STILLS.values(),
    save(three_frames()[0], "GIF", save_all=True, append_images=three_frames()[1:]),
    save(three_frames()[0], "PNG", save_all=True, append_images=three_frames()[1:]),
    save(three_frames()[0], "MPO", save_all=True, append_images=three_frames()[1:]),
    save(noise(), "PNG", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2), exif=b"Exif\0\0II*\0\x08\0\0\0"),
    save(Image.fromarray(noise()).quantize(16), "PNG", transparency=2),
]


@FUZZ
@given(
    data=st.sampled_from(TO_MUTATE),
    header=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=6),
    body=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=6),
    share=st.floats(0.5, 1.0) | st.just(1.0),
)
@example(data=STILLS["png"], header=[(25, 77)], body=[], share=1.0)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_raise_only_bad_image(
    data: bytes, header: list[tuple[int, int]], body: list[tuple[float, int]], share: float
) -> None:
    """Valid files with some bytes changed, or cut short, raise no error but BadImage."""
    mutated = bytearray(data)
    for place, value in header:
        mutated[place] = value
    for place_share, value in body:
        mutated[int(place_share * len(data))] = value

    check_decoded_or_refused(bytes(mutated[: int(share * len(data))]))
