"""images: of several frames or pages the first."""

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
def test_first_of_several_frames(file_format: str, options: dict[str, Any]) -> None:
    """Of an animation, or of pages, the first is taken, and the user is told."""
    frames = three_frames()

    result = decode_image(save(frames[0], file_format, save_all=True, append_images=frames[1:], **options), "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_damage_behind_the_first_frame() -> None:
    """A GIF whose second frame is broken still has a first."""
    frames = three_frames()
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = data.index(b"\x21\xf9", len(save(frames[0], "GIF")) - 50)

    result = decode_image(data[: second + 12], "a.gif")

    assert (np.asarray(result.picture) == np.asarray(frames[0])).all()
    assert result.notes == (FRAMES_NOTE,)


def test_multi_picture_jpeg() -> None:
    """Of a phone's multi-picture JPEG (Pillow: MPO) the photograph is taken; its preview is no news."""
    frames = three_frames()

    pixels = decoded(save(frames[0], "MPO", save_all=True, append_images=frames[1:]))

    assert (pixels == decoded(save(frames[0], "JPEG"))).all()


def test_partial_first_frame_of_a_gif() -> None:
    """A GIF whose first frame covers only a part of the screen has the size of the screen."""
    picture = Image.fromarray(noise(20, 20)).quantize(16)
    data = bytearray(save(picture, "GIF"))
    data[6:10] = struct.pack("<HH", 50, 40)

    pixels = decoded(bytes(data))

    assert pixels.shape == (40, 50, 3)
    assert (pixels[:20, :20] == np.asarray(picture.convert("RGB"))).all()
