"""nst_core.pictures: two pictures in, one out."""

import numpy as np
import pytest
from PIL import Image

from nst_core.errors import OptionsError, ShapeError
from nst_core.options import StylizeOptions
from nst_core.pictures import size_of_style, stylize_picture

QUICK = StylizeOptions(size_px=48, steps=4)


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


def test_a_picture_of_the_content_s_shape_nearer_to_the_style() -> None:
    """Long edge as asked, RGB, and a loss below that of the start; every evaluation is told."""
    told: list[float] = []
    result = stylize_picture(
        noise((96, 64), 1), noise((80, 80), 2), QUICK, device="cpu", on_step=lambda step: told.append(step.losses.total)
    )

    assert (result.picture.size, result.picture.mode) == ((48, 32), "RGB")
    assert result.losses.total < result.initial.total
    assert (result.steps, result.stop_reason) == (4, "steps")
    assert len(told) >= result.evaluations


def test_the_same_pictures_give_the_same() -> None:
    """To the byte, also with the network kept from before."""
    first, second = (stylize_picture(noise((64, 64), 1), noise((64, 64), 2), QUICK, device="cpu") for _ in range(2))

    assert first.picture.tobytes() == second.picture.tobytes()
    assert first.losses == second.losses


def test_what_cannot_be_used_is_named() -> None:
    """Another mode, and a device that this machine does not have."""
    with pytest.raises(ShapeError, match="mode RGB, got L"):
        stylize_picture(noise((64, 64), 1).convert("L"), noise((64, 64), 2), QUICK, device="cpu")
    with pytest.raises(OptionsError):
        stylize_picture(noise((64, 64), 1), noise((64, 64), 2), QUICK, device="cuda:77")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (StylizeOptions(), (200, 100)),
        (StylizeOptions(style_scale=0.5), (100, 50)),
        (StylizeOptions(recipe="notebook"), (200, 150)),
    ],
)
def test_the_size_of_a_style(options: StylizeOptions, expected: tuple[int, int]) -> None:
    """The pastiche's long edge times style_scale; the recipe `notebook` squeezes it to the pastiche's shape."""
    assert size_of_style((1000, 500), (200, 150), options.resolved()) == expected
