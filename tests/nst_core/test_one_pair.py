"""nst_core.one_pair: two pictures in, one out."""

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


def test_sixteen_bits_are_given_as_levels() -> None:
    """For a file of 16 bits; the losses are those of these levels, and the picture is the same in 8."""
    options = QUICK.overridden({"bit_depth": 16})
    result = stylize_picture(noise((48, 32), 1), noise((48, 48), 2), options, device="cpu")
    plain = stylize_picture(noise((48, 32), 1), noise((48, 48), 2), QUICK, device="cpu")

    assert (result.levels.dtype, result.levels.shape) == (np.uint16, (32, 48, 3))
    assert (result.levels % 257).any()  # more than 8 bits have to say
    assert np.abs(result.levels / 257.0 - np.asarray(result.picture)).max() <= 0.5
    assert np.array_equal(plain.levels, np.asarray(plain.picture))
    assert result.picture.tobytes() == plain.picture.tobytes()
    assert result.losses != plain.losses


def test_what_is_no_rgb_picture_is_named() -> None:
    """Arrays, paths and other modes, whichever of the pictures they are; of `protect` any mode will do."""
    picture, grey = noise((48, 32), 1), noise((48, 32), 1).convert("L")
    for content, style, guides, said in (
        (np.asarray(picture), picture, NO_GUIDES, "content: .* got ndarray"),
        (picture, [picture, picture], NO_GUIDES, "style 1: .* got list"),
        (picture, StyleSource((picture, grey)), NO_GUIDES, "style 2: .* got L"),
        (picture, StyleSource((picture,), grey), ContentGuides(mask=picture), "the style's mask: .* got L"),
        (picture, picture, ContentGuides(start=grey), "the picture to start from: .* got L"),
        (picture, picture, ContentGuides(protect=np.asarray(grey)), "protect: .* got ndarray"),
        (picture, picture, ContentGuides(alpha=np.asarray(grey)), "alpha: .* got ndarray"),
    ):
        with pytest.raises(ShapeError, match=said):
            stylize_picture(content, style, QUICK, guides=guides, device="cpu")
    stylize_picture(picture, picture, QUICK, guides=ContentGuides(protect=grey), device="cpu")


@pytest.mark.parametrize("recipe", ["relative", "moments", "notebook"])
def test_torch_s_defaults_are_the_caller_s(recipe: str) -> None:
    """Whatever they are, the picture is the same to the byte; random numbers go on as if nothing had been drawn."""
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
    """No picture is made of it. Only options that an earlier version accepted have weights as large as that."""
    too_large = {"size_px": 32, "steps": 2, "style_weight": 1e12, "style_layer_weights": (1e30,) * 5}
    options = StylizeOptions.model_validate(too_large, context=RECORDED)

    with pytest.raises(DivergedError, match="the loss was not finite"):
        stylize_picture(noise((32, 32), 1), noise((32, 32), 2), options, device="cpu")


def test_small_pictures_are_enlarged_only_if_asked() -> None:
    """The content keeps its size, or takes the one asked for; the look is that of the options."""
    quick = {"size_px": 40, "steps": 1}
    for enlarge, size in ((False, (32, 24)), (True, (40, 30))):
        options = StylizeOptions(enlarge=enlarge, **quick)

        assert stylize_picture(noise((32, 24), 1), noise((30, 30), 2), options, device="cpu").picture.size == size


def test_what_is_told_of_the_end_is_of_the_whole_run() -> None:
    """Every evaluation at full size took its time, and the losses are those of the picture as it was given back."""
    result = stylize_picture(noise((32, 32), 1), noise((32, 32), 2), QUICK, device="cpu")
    again = stylize_picture(result.picture, noise((32, 32), 2), QUICK, device="cpu")

    assert result.evaluations >= result.steps == 4
    assert 0.0 < result.seconds < 60.0
    assert again.initial.style == pytest.approx(result.losses.style, rel=1e-5)
