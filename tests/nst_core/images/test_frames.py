"""Decoding of the first of several frames or pages."""

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nst_core.images import decode_image
from tests.picture_files import FRAMES_NOTE, decoded, noise, save, three_frames


@pytest.mark.parametrize(
    ("file_format", "options"), [("GIF", {}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_the_first_of_several_frames_is_used(file_format: str, options: dict[str, Any]) -> None:
    """Of several frames or pages the first is used, and a note says so."""
    frames = three_frames()

    result = decode_image(save(frames[0], file_format, save_all=True, append_images=frames[1:], **options), "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_damage_after_the_first_frame_is_ignored() -> None:
    """A GIF whose second frame is damaged is decoded to its first frame, with the note on several frames."""
    frames = three_frames()
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = data.index(b"\x21\xf9", len(save(frames[0], "GIF")) - 50)

    result = decode_image(data[: second + 12], "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_the_photograph_of_a_multi_picture_jpeg_is_used() -> None:
    """Of a phone's multi-picture JPEG, MPO in Pillow, the photograph is used, and no note mentions its preview."""
    frames = three_frames()

    pixels = decoded(save(frames[0], "MPO", save_all=True, append_images=frames[1:]))

    assert (pixels == decoded(save(frames[0], "JPEG"))).all()


def test_a_gif_has_the_size_of_its_screen() -> None:
    """A GIF whose first frame covers only a part of its screen is decoded at the size of the screen."""
    picture = Image.fromarray(noise(20, 20)).quantize(16)
    data = bytearray(save(picture, "GIF"))
    data[6:10] = struct.pack("<HH", 50, 40)

    pixels = decoded(bytes(data))

    assert pixels.shape == (40, 50, 3)
    assert (pixels[:20, :20] == np.asarray(picture.convert("RGB"))).all()
