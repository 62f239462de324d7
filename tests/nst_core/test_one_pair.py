"""one_pair: stylize one pair of Pillow images in the calling process."""

import numpy as np
import pytest
import torch
from PIL import Image

from nst_core import one_pair
from nst_core.errors import DivergedError, OptionsError, ShapeError
from nst_core.guides import NO_GUIDES, ContentGuides, StyleSource, size_of_style
from nst_core.one_pair import stylize_picture
from nst_core.options import StylizeOptions
from nst_core.options.stylize_options import RECORDED

QUICK = StylizeOptions(size_px=48, steps=4)


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


def test_the_result_has_the_requested_size_and_a_lower_loss() -> None:
    """The pastiche is in RGB, with the requested long edge and a loss below the start's; `on_step` is called."""
    reported: list[float] = []
    result = stylize_picture(
        noise((96, 64), 1),
        noise((80, 80), 2),
        QUICK,
        device="cpu",
        on_step=lambda step: reported.append(step.losses.total),
    )

    assert (result.picture.size, result.picture.mode) == ((48, 32), "RGB")
    assert result.losses.total < result.initial.total
    assert (result.steps, result.stop_reason) == (4, "steps")
    assert len(reported) >= result.evaluations


def test_the_same_images_give_the_same_result() -> None:
    """A second call, which uses the cached network, returns the same image to the byte, with the same losses."""
    first, second = (stylize_picture(noise((64, 64), 1), noise((64, 64), 2), QUICK, device="cpu") for _ in range(2))

    assert first.picture.tobytes() == second.picture.tobytes()
    assert first.losses == second.losses


def test_an_unusable_mode_or_device_is_refused() -> None:
    """An image of another mode than RGB, and a device that this machine does not have, are errors."""
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
    """A style's long edge is the pastiche's times `style_scale`; recipe `notebook` gives it the pastiche's shape."""
    assert size_of_style((1000, 500), (200, 150), options.resolved()) == expected


def test_a_bit_depth_of_16_gives_16_bit_levels() -> None:
    """With `bit_depth` 16 levels and losses are those of 16 bits; `picture` is the 8-bit image as without it."""
    options = QUICK.overridden({"bit_depth": 16})
    result = stylize_picture(noise((48, 32), 1), noise((48, 48), 2), options, device="cpu")
    plain = stylize_picture(noise((48, 32), 1), noise((48, 48), 2), QUICK, device="cpu")

    assert (result.levels.dtype, result.levels.shape) == (np.uint16, (32, 48, 3))
    assert (result.levels % 257).any()  # the levels hold more than 8 bits of information
    assert np.abs(result.levels / 257.0 - np.asarray(result.picture)).max() <= 0.5
    assert np.array_equal(plain.levels, np.asarray(plain.picture))
    assert result.picture.tobytes() == plain.picture.tobytes()
    assert result.losses != plain.losses


def test_an_argument_that_is_no_rgb_image_is_named() -> None:
    """An array, a list or an image of another mode is refused by the argument's name; `protect` may have any mode."""
    picture, grey = noise((48, 32), 1), noise((48, 32), 1).convert("L")
    for content, style, guides, said in (
        (np.asarray(picture), picture, NO_GUIDES, "content: .* got ndarray"),
        (picture, [picture, picture], NO_GUIDES, "style 1: .* got list"),
        (picture, StyleSource((picture, grey)), NO_GUIDES, "style 2: .* got L"),
        (picture, StyleSource((picture,), grey), ContentGuides(mask=picture), "the style's mask: .* got L"),
        (picture, picture, ContentGuides(start=grey), "the image to start from: .* got L"),
        (picture, picture, ContentGuides(protect=np.asarray(grey)), "protect: .* got ndarray"),
        (picture, picture, ContentGuides(alpha=np.asarray(grey)), "alpha: .* got ndarray"),
    ):
        with pytest.raises(ShapeError, match=said):
            stylize_picture(content, style, QUICK, guides=guides, device="cpu")
    stylize_picture(picture, picture, QUICK, guides=ContentGuides(protect=grey), device="cpu")


@pytest.mark.parametrize("recipe", ["relative", "moments", "notebook"])
def test_torchs_defaults_neither_matter_nor_change(recipe: str) -> None:
    """Torch's default dtype and device do not change the image, and its random numbers continue undisturbed."""
    options = QUICK.overridden({"recipe": recipe, "init": "noise", "colors": "match"})

    def stylized() -> bytes:
        one_pair._network.cache_clear()
        return stylize_picture(noise((48, 32), 1), noise((48, 48), 2), options, device="cpu").picture.tobytes()

    torch.manual_seed(5)
    expected, drawn = stylized(), torch.rand(1)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = stylized()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        one_pair._network.cache_clear()

    assert found == expected
    torch.manual_seed(5)
    assert drawn == torch.rand(1)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    """A loss that is not finite is a DivergedError. Only recorded options of an earlier version have such weights."""
    too_large = {"size_px": 32, "steps": 2, "style_weight": 1e12, "style_layer_weights": (1e30,) * 5}
    options = StylizeOptions.model_validate(too_large, context=RECORDED)

    with pytest.raises(DivergedError, match="the loss was not finite"):
        stylize_picture(noise((32, 32), 1), noise((32, 32), 2), options, device="cpu")


def test_small_images_are_enlarged_only_on_request() -> None:
    """A content smaller than `size_px` keeps its size, unless `enlarge` is set."""
    quick = {"size_px": 40, "steps": 1}
    for enlarge, size in ((False, (32, 24)), (True, (40, 30))):
        options = StylizeOptions(enlarge=enlarge, **quick)

        assert stylize_picture(noise((32, 24), 1), noise((30, 30), 2), options, device="cpu").picture.size == size


def test_the_result_reports_evaluations_seconds_and_final_losses() -> None:
    """The result counts evaluations and seconds, and its style loss is that of the image it returns."""
    result = stylize_picture(noise((32, 32), 1), noise((32, 32), 2), QUICK, device="cpu")
    again = stylize_picture(result.picture, noise((32, 32), 2), QUICK, device="cpu")

    assert result.evaluations >= result.steps == 4
    assert 0.0 < result.seconds < 60.0
    assert again.initial.style == pytest.approx(result.losses.style, rel=1e-5)
