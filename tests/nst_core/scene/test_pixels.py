"""Conversion between 8-bit sRGB images and float tensors in [0, 1]."""

import numpy as np
import pytest
import torch
from PIL import Image

from nst_core.errors import DivergedError, ShapeError
from nst_core.scene.pixels import to_picture, to_tensor


def test_every_level_survives_the_round_trip() -> None:
    """All 256 levels of all three channels survive the conversion to a tensor and back."""
    levels = np.stack([np.roll(np.arange(256, dtype=np.uint8), shift) for shift in (0, 80, 160)], axis=-1)
    pixels = levels.reshape(16, 16, 3)

    found = np.asarray(to_picture(to_tensor(Image.fromarray(pixels))))

    np.testing.assert_array_equal(found, pixels)


def test_to_tensor_by_hand() -> None:
    """The tensor's dimensions are channels (red, green, blue), rows and columns, and level 255 is 1."""
    picture = Image.new("RGB", (3, 2))
    picture.putpixel((2, 1), (255, 51, 0))

    tensor = to_tensor(picture)

    assert tensor.dtype == torch.float32
    assert tensor.shape == (1, 3, 2, 3)
    assert tensor[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert tensor.sum().item() == pytest.approx(1.2)


def test_to_tensor_owns_its_memory() -> None:
    """Changing the image afterwards does not change the tensor."""
    picture = Image.new("RGB", (2, 2))
    tensor = to_tensor(picture)

    picture.putpixel((0, 0), (255, 255, 255))

    assert tensor.sum().item() == 0.0


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "1", "P"])
def test_to_tensor_takes_rgb_only(mode: str) -> None:
    """An image of another mode is a ShapeError that names the mode."""
    with pytest.raises(ShapeError, match=f"got {mode}"):
        to_tensor(Image.new(mode, (4, 4)))


def test_to_picture_clamps_and_rounds() -> None:
    """Values outside [0, 1] become black or white, and all others are rounded to the nearest level."""
    values = torch.tensor([-0.1, 0.0, 0.49 / 255, 0.51 / 255, 254.4 / 255, 254.6 / 255, 1.0, 1.1])

    picture = to_picture(values.view(1, 1, 1, 8).expand(1, 3, 1, 8))

    assert picture.mode == "RGB"
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 0, 1, 254, 255, 255, 255]


def test_to_picture_accepts_a_tensor_with_gradient() -> None:
    """A tensor that requires a gradient, in channels-last layout, is converted like any other."""
    pixels = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    tensor = pixels.to(memory_format=torch.channels_last).requires_grad_()

    np.testing.assert_array_equal(np.asarray(to_picture(tensor)), np.asarray(to_picture(pixels)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_to_picture_refuses_values_that_are_not_finite(value: float) -> None:
    """A single NaN or infinite value is a DivergedError, and does not become a black pixel."""
    pixels = torch.full((1, 3, 4, 4), 0.5)
    pixels[0, 1, 2, 3] = value

    with pytest.raises(DivergedError, match=r"NaN or infinite .*\. Try lower weights$"):
        to_picture(pixels)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 1, 4, 4), (1, 4, 4, 4), (1, 3, 4, 4, 1)])
def test_to_picture_takes_one_rgb_image(shape: tuple[int, ...]) -> None:
    """A tensor of another shape than (1, 3, H, W) is a ShapeError."""
    with pytest.raises(ShapeError, match="expected a tensor of shape"):
        to_picture(torch.zeros(shape))
