"""guides: blends, masks, protection, transparency and a start image, from Pillow images to a pastiche."""

import numpy as np
import pytest
import torch
from PIL import Image

from nst_core.backbones.backbone import Backbone
from nst_core.errors import OptionsError
from nst_core.geometry import levels as geometry_levels
from nst_core.guides import ContentGuides, StyleSource, blend_shares, painted_pixels, request_of, style_of
from nst_core.measure import distances, measure
from nst_core.options import StylizeOptions
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.canvas import LUMINANCE
from nst_core.scene.masks.matching import RegionColours, region_colours
from nst_core.scene.pixels import to_picture, to_tensor
from nst_core.stylize import stylize
from tests.nst_core.drawn import SIZE, half, noise


def make(**values: object) -> StylizeOptions:
    layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    return StylizeOptions.model_validate({"steps": 8, "plateau_tolerance": 0.0} | layers | values).resolved()


def pair(
    backbone: Backbone,
    source: StyleSource,
    guides: ContentGuides,
    content: Image.Image | None = None,
    **values: object,
) -> StylizeRequest:
    options, content = make(**values), content or noise(1)
    colours = region_colours(guides.mask, source.mask)
    style = style_of(source, SIZE, options, backbone, colours, painted_pixels(content, guides))
    return request_of(content, style, options, guides, colours)


def result(request: StylizeRequest, backbone: Backbone) -> StylizeResult:
    (found,) = stylize([request], backbone)
    assert isinstance(found, StylizeResult)
    return found


def test_a_blend_of_one_style_twice_is_that_style(backbone: Backbone) -> None:
    """A blend of the same style image twice has the targets of that style, whatever the weights."""
    once = style_of(StyleSource((noise(2),)), SIZE, make(), backbone)
    twice = style_of(StyleSource((noise(2), noise(2))), SIZE, make(style_blend=(0.3, 0.9)), backbone)

    for layer, target in once.target.items():
        torch.testing.assert_close(twice.target[layer], target)


@pytest.mark.parametrize("recipe", ["relative", "moments"])
def test_an_even_blend_has_the_mean_of_both_targets(backbone: Backbone, recipe: str) -> None:
    """In a blend of equal weights each layer's target is the mean of both styles' targets; their sizes may differ."""
    options = make(recipe=recipe)
    one, other = noise(2), noise(3, (70, 40))
    blend = style_of(StyleSource((one, other)), SIZE, options, backbone)
    alone = [style_of(StyleSource((picture,)), SIZE, options, backbone) for picture in (one, other)]

    for layer, target in blend.target.items():
        torch.testing.assert_close(target, (alone[0].target[layer] + alone[1].target[layer]) / 2)


def test_a_region_that_the_resized_style_lacks_is_refused(backbone: Backbone) -> None:
    """A region of which the resized style mask has nothing left is an error that names its colour and the size."""
    colours = RegionColours(((0, 0, 0), (0, 255, 0)), ((0, 0, 0), (0, 255, 0)))

    with pytest.raises(OptionsError, match=r"region green \(#00ff00\) nothing is left at the style's 48 x 32 px"):
        style_of(StyleSource((noise(2),), Image.new("RGB", SIZE)), SIZE, make(), backbone, colours)


def test_shares_of_a_blend() -> None:
    """Blend weights of any sum become shares; without weights all are equal; their number must be that of styles."""
    assert blend_shares((1.0, 0.0, 3.0), 3) == [0.25, 0.0, 0.75]
    assert blend_shares(None, 4) == [0.25] * 4
    with pytest.raises(OptionsError, match="expected 2 numbers, one per style, got 3"):
        blend_shares((1.0, 1.0, 1.0), 2)


def test_a_coarse_level_blends_too(backbone: Backbone) -> None:
    """With two levels a blend of one style image twice gives the pastiche of that style alone."""
    once = result(pair(backbone, StyleSource((noise(2),)), ContentGuides(), levels=2), backbone)
    twice = result(pair(backbone, StyleSource((noise(2), noise(2))), ContentGuides(), levels=2), backbone)

    torch.testing.assert_close(twice.pastiche, once.pastiche, rtol=0.0, atol=0.02)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("colors", ["style", "match", "luminance"])
def test_a_protected_half_is_the_content(backbone: Backbone, colors: str, levels: int) -> None:
    """The protected half of the saved image is the content to the last bit, also with coarse levels.

    The other half is painted.
    """
    request = pair(backbone, StyleSource((noise(2),)), ContentGuides(protect=half()), colors=colors, levels=levels)

    saved = np.asarray(to_picture(result(request, backbone).pastiche)).astype(int)

    content = np.asarray(noise(1)).astype(int)
    assert (saved[:, :20] == content[:, :20]).all()
    assert np.abs(saved[:, 26:] - content[:, 26:]).mean() > 2.0


@pytest.mark.parametrize("levels", [1, 2])
def test_luminance_keeps_the_chroma(backbone: Backbone, levels: int) -> None:
    """With `colors` luminance the 8-bit image has the chroma of the content to within rounding."""
    request = pair(backbone, StyleSource((noise(2),)), ContentGuides(), colors="luminance", levels=levels)

    saved = np.asarray(to_picture(result(request, backbone).pastiche)).astype(float)

    content = np.asarray(noise(1)).astype(float)
    weights = np.array([0.299, 0.587, 0.114])
    change = (saved - (saved @ weights)[..., None]) - (content - (content @ weights)[..., None])
    assert np.abs(change).max() <= 1.0
    assert np.abs(saved - content).mean() > 2.0


@pytest.mark.parametrize("levels", [1, 2])
def test_a_region_takes_the_style_of_its_colour(backbone: Backbone, levels: int) -> None:
    """With a style of a red and a blue half, each half of the pastiche turns to the colour that its mask gives it."""
    style = Image.new("RGB", SIZE, (30, 40, 200))
    style.paste((200, 40, 30), (0, 0, SIZE[0] // 2, SIZE[1]))
    chosen = {"content_weight": 0.0, "steps": 30, "levels": levels}

    def redness(mask: Image.Image) -> tuple[float, float]:
        request = pair(backbone, StyleSource((style,), half()), ContentGuides(mask=mask), **chosen)
        pastiche = result(request, backbone).pastiche[0]
        red = pastiche[0] - pastiche[2]
        return red[:, :16].mean().item(), red[:, -16:].mean().item()

    left, right = redness(half())
    assert left > 0.1 > -0.1 > right
    left, right = redness(half().transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert left < -0.1 < 0.1 < right


def test_the_optimisation_begins_at_a_start_image(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a finished pastiche as the start image, the initial losses are those of it, and no coarse level runs."""
    monkeypatch.setattr(geometry_levels, "COARSEST_PX", 24)  # so that the image is large enough for two levels
    first = result(pair(backbone, StyleSource((noise(2),)), ContentGuides()), backbone)
    finished = to_picture(first.pastiche)

    again = pair(backbone, StyleSource((noise(2),)), ContentGuides(start=finished))
    second = result(again, backbone)

    assert second.initial.total == pytest.approx(measure(first.pastiche.mul(255).round() / 255, again, backbone).total)
    assert second.initial.total < first.initial.total * 0.8
    assert (len(first.coarse_evaluations), second.coarse_evaluations) == (1, ())


def test_distances_do_not_depend_on_the_options(backbone: Backbone) -> None:
    """The distances of an image are the same for every recipe, weight, layer and pooling of its request."""
    values = [
        {},
        {"recipe": "gatys", "style_weight": 3.0},
        {"recipe": "moments"},
        {"style_layers": ("relu1_1",), "pooling": "average"},
    ]
    found = []
    for one in values:
        options = StylizeOptions.model_validate(one).resolved()
        style = style_of(StyleSource((noise(2),)), SIZE, options, backbone)
        request = request_of(noise(1), style, options)
        pixels = request_of(noise(4), style, options).content
        measured = distances(pixels, request, backbone, measure(pixels, request, backbone))
        assert measured is not None
        found.append(measured)

    for other in found[1:]:
        assert (other.content, other.style) == pytest.approx((found[0].content, found[0].style), rel=1e-5)


def test_a_blend_with_a_mask_is_refused() -> None:
    """A style mask can only be used with a single style image."""
    with pytest.raises(OptionsError, match="one style, not with a blend"):
        StyleSource((noise(2), noise(3)), half())


NOTHING_SEEN = ContentGuides(alpha=Image.new("L", SIZE, 0))
ALL_KEPT = ContentGuides(protect=Image.new("RGB", SIZE, "white"))
RIGHT_HALF_UNSEEN = ContentGuides(alpha=half().convert("L"))
RIGHT_HALF_KEPT = ContentGuides(protect=half().transpose(Image.Transpose.FLIP_LEFT_RIGHT))


@pytest.mark.parametrize("guides", [RIGHT_HALF_UNSEEN, RIGHT_HALF_KEPT], ids=["transparent", "protected"])
def test_only_painted_pixels_count_towards_the_style(backbone: Backbone, guides: ContentGuides) -> None:
    """The style loss depends on the painted half only, and the same holds in a batch beside a pair without guides."""
    source = StyleSource((noise(2),))
    plain, halved = (pair(backbone, source, one) for one in (ContentGuides(), guides))
    one, other = (halved.content.clone() for _ in range(2))
    one[..., 32:], other[..., 32:] = 0.0, noise_pixels(5)[..., 32:]

    losses = [measure(pixels, halved, backbone).style for pixels in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    losses = [measure(pixels, plain, backbone).style for pixels in (one, other)]
    assert losses[0] != pytest.approx(losses[1], rel=0.02)

    together = [found for found in stylize([plain, halved], backbone) if isinstance(found, StylizeResult)]
    for found, request in zip(together, (plain, halved), strict=True):
        torch.testing.assert_close(found.pastiche, result(request, backbone).pastiche, rtol=0.0, atol=0.02)


@pytest.mark.parametrize("guides", [RIGHT_HALF_UNSEEN, RIGHT_HALF_KEPT], ids=["transparent", "protected"])
def test_only_painted_pixels_count_towards_the_content_loss(backbone: Backbone, guides: ContentGuides) -> None:
    """The content loss depends on the painted half of content and pastiche only, and is scaled by its features."""
    source, pastiche = StyleSource((noise(2),)), noise_pixels(5)
    halves = [noise(1), noise(1)]
    halves[1].paste(noise(6).crop((32, 0, *SIZE)), (32, 0))
    plain, *halved = (
        pair(backbone, source, one, half)
        for one, half in zip((ContentGuides(), guides, guides), (halves[0], *halves), strict=True)
    )
    other = pastiche.clone()
    other[..., 32:] = 0.0

    losses = [measure(pixels, one, backbone).content for one in halved for pixels in (pastiche, other)]

    assert losses == pytest.approx([losses[0]] * 4, rel=0.02)
    # The plain pair's loss is the mean over all positions, so that both are similar but not equal.
    assert losses[0] == pytest.approx(measure(pastiche, plain, backbone).content, rel=0.5)


def test_uniform_transparency_changes_no_loss(backbone: Backbone) -> None:
    """Both losses are weighted means over pixels, so that the same transparency everywhere has no effect."""
    veil = ContentGuides(alpha=Image.new("L", SIZE, 128))
    plain, veiled = (pair(backbone, StyleSource((noise(2),)), one) for one in (ContentGuides(), veil))

    of_plain, of_veiled = (measure(noise_pixels(5), one, backbone) for one in (plain, veiled))

    assert (of_veiled.content, of_veiled.style) == pytest.approx((of_plain.content, of_plain.style), rel=1e-4)


@pytest.mark.parametrize("guides", [RIGHT_HALF_UNSEEN, RIGHT_HALF_KEPT], ids=["transparent", "protected"])
@pytest.mark.parametrize("colors", ["match", "luminance"])
def test_colours_are_matched_to_the_painted_half(backbone: Backbone, colors: str, guides: ContentGuides) -> None:
    """The style image is given the mean of the painted half of the content."""
    request = pair(backbone, StyleSource((noise(2),)), guides, colors=colors)

    mean = request.style.pictures[0].image.mean(dim=(0, 2, 3))

    half_mean = request.content[..., : SIZE[0] // 2].mean(dim=(0, 2, 3))
    if colors == "luminance":
        half_mean = (half_mean @ torch.tensor(LUMINANCE)).expand(3)
    torch.testing.assert_close(mean, half_mean, rtol=0.0, atol=0.02)  # clamping moves the mean a little


def test_all_colours_count_where_nothing_is_painted() -> None:
    """Where everything is protected, colours are matched to the whole content, because nothing else is left."""
    pixels = painted_pixels(noise(1), ALL_KEPT)

    assert torch.equal(pixels, to_tensor(noise(1)).reshape(1, 3, 1, -1))


@pytest.mark.parametrize("guides", [NOTHING_SEEN, ALL_KEPT], ids=["transparent", "protected"])
def test_a_content_with_nothing_to_paint_is_not_changed(backbone: Backbone, guides: ContentGuides) -> None:
    """A content that is transparent or protected everywhere has a style loss of 0 and is returned unchanged."""
    request = pair(backbone, StyleSource((noise(2),)), guides)

    found = result(request, backbone)

    assert found.initial.style == 0.0
    torch.testing.assert_close(found.pastiche, request.content, rtol=0.0, atol=0.01)


def test_a_region_covers_only_painted_and_visible_pixels(backbone: Backbone) -> None:
    """The map of a region is its mask without the protected and the transparent pixels."""
    top = Image.new("RGB", SIZE, "black")
    top.paste("white", (0, 0, SIZE[0], SIZE[1] // 2))
    guides = ContentGuides(mask=half(), protect=top, alpha=top.convert("L"))

    plain = pair(backbone, StyleSource((noise(2),), half()), ContentGuides(mask=half())).regions
    kept = pair(backbone, StyleSource((noise(2),), half()), ContentGuides(mask=half(), protect=top)).regions
    nowhere = pair(backbone, StyleSource((noise(2),), half()), guides).regions

    assert plain is not None
    assert kept is not None
    assert nowhere is not None
    torch.testing.assert_close(kept.maps[:, :, 16:], plain.maps[:, :, 16:])
    assert not kept.maps[:, :, :16].any()
    assert not nowhere.maps.any()


def noise_pixels(seed: int) -> torch.Tensor:
    return to_tensor(noise(seed))
