"""Regions: maps that give each part of an image its own style, and their losses and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import wrap_network
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.regions import Regions, batch_regions, maps_at_layer
from nst_core.losses.targets import encode_content, encode_style
from nst_core.options import StylizeOptions

Picture = Callable[..., Tensor]

LAYERS = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv2_2")}


def options(recipe: str = "relative") -> StylizeOptions:
    return StylizeOptions(recipe=recipe, **LAYERS).resolved()


def sides(count: int, height: int, width: int, share: float = 0.5) -> Regions:
    """Return two regions per image: the left part with this share of the width, and the rest."""
    left = (torch.arange(width) < share * width).double().expand(count, 1, height, width)
    return Regions(torch.cat([left, 1.0 - left], dim=1))


@pytest.fixture
def image(picture: Picture) -> Tensor:
    return torch.cat([picture(24, 32, seed) for seed in (1, 2)]).double()


@pytest.mark.parametrize("faint", [1.0, 0.3])
def test_the_largest_weight_of_a_region_is_one(faint: float) -> None:
    """At every layer's size, the largest weight of a region is 1, also if its map is faint, and `square_sums` is the
    sum of the weights' squares.
    """
    for height, width in ((24, 32), (12, 16), (3, 4)):
        found = Regions(faint * sides(2, 24, 32, 0.3).maps).at(height, width)
        assert (found.maps.amax(dim=(2, 3)) == 1.0).all()
        torch.testing.assert_close(found.maps.square().sum(dim=(2, 3)), found.square_sums)


@pytest.mark.parametrize("width", [64, 65, 79])
def test_a_positions_weight_is_the_mean_of_its_pixels(width: int) -> None:
    """A position's weight is the mean over the pixels that pooling combines there, also if pooling drops some pixels at
    the end of an odd side.
    """
    maps = torch.rand(1, 1, 48, width, generator=torch.Generator().manual_seed(3))
    pooled = maps
    for halvings in range(1, 5):
        pooled = torch.nn.functional.avg_pool2d(pooled, 2)
        found = maps_at_layer(maps, 48 >> halvings, width >> halvings)
        torch.testing.assert_close(found[..., :-1], pooled[..., :-1])


def test_a_region_in_dropped_pixels_is_not_lost() -> None:
    """A region within the pixels that pooling drops at the ends of odd sides counts at the last position."""
    maps = torch.zeros(1, 1, 47, 79)
    maps[..., 32:, 64:] = 1.0

    found = maps_at_layer(maps, 2, 4)

    torch.testing.assert_close(found[0, 0], torch.tensor([[0.0] * 4, [0.0] * 3 + [15 / 31 * 15 / 31]]))


def test_an_empty_region_has_no_weight() -> None:
    """An empty region has weight 0 everywhere, and a sum of squares above 0, because sums are divided by it."""
    found = Regions(torch.zeros(1, 2, 24, 32)).at(12, 16)
    assert not found.maps.any()
    assert (found.square_sums > 0.0).all()


@pytest.mark.parametrize("recipe", ["relative", "moments"])
def test_weights_are_not_rounded_in_bf16(
    network: VGG, convolutions: Convolutions, picture: Picture, recipe: str
) -> None:
    """In bf16, a region that covers everything has the style loss of no regions to 1e-4, at sizes whose square root
    bf16 cannot store.
    """
    chosen, image, style = options(recipe), picture(24, 32, 1), picture(24, 32, 2)
    everywhere = Regions(torch.ones(1, 1, 24, 32))
    content, target = encode_content(network, image, chosen), encode_style(network, style, chosen)
    fast = wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16").fast

    plain = PerceptualLoss(fast, content, target, chosen)(style).style
    masked = PerceptualLoss(fast, content, target, chosen, everywhere)(style).style

    torch.testing.assert_close(masked, plain, rtol=1e-4, atol=1e-9)


def test_shares_are_those_of_the_painted_area() -> None:
    """A region's share is its part of the area of all regions, also if no map is above 0.5."""
    assert sides(1, 8, 32, 0.25).shares.tolist() == [[0.25, 0.75]]
    half_there = Regions(sides(1, 8, 32, 0.25).maps * 0.5)
    assert half_there.shares.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("recipe", ["relative", "moments", "gatys"])
def test_one_region_everywhere_equals_no_regions(network64: VGG, image: Tensor, recipe: str) -> None:
    """A region that covers everything gives the losses and gradients of an image without regions."""
    everywhere = Regions(torch.ones(2, 1, 24, 32, dtype=torch.float64))
    content = encode_content(network64, image, options(recipe))
    plain = PerceptualLoss(network64, content, encode_style(network64, image.flip(2), options(recipe)), options(recipe))
    style = encode_style(network64, image.flip(2), options(recipe), everywhere)
    masked = PerceptualLoss(network64, content, style, options(recipe), everywhere)

    for found, expected in zip(masked.with_gradient(image.flip(3)), plain.with_gradient(image.flip(3)), strict=True):
        if isinstance(found, Tensor):
            torch.testing.assert_close(found, expected)
        else:
            torch.testing.assert_close(found.total, expected.total)


def test_the_style_loss_is_that_of_the_papers_formula(network64: VGG, image: Tensor) -> None:
    """The style loss compares Gram matrices of features times a map whose squares add up to 1, and weighs each region
    by its share of the content image's area.
    """
    regions, style_regions, chosen = sides(2, 24, 32, 0.25), sides(2, 24, 32, 0.5), options()
    loss = PerceptualLoss(
        network64,
        encode_content(network64, image, chosen),
        encode_style(network64, image.flip(2), chosen, style_regions),
        chosen,
        regions,
    )

    def gram(features: Tensor, maps: Tensor) -> Tensor:
        masked = maps / maps.square().sum().sqrt() * features
        return torch.einsum("ihw,jhw->ij", masked, masked)

    features = network64(image.flip(3), chosen.style_layers)
    wanted = network64(image.flip(2), chosen.style_layers)
    for pair in (0, 1):
        expected = 0.0
        for layer in chosen.style_layers:
            size = features[layer].shape[2:]
            ours = torch.nn.functional.adaptive_avg_pool2d(regions.maps, size)
            theirs = torch.nn.functional.adaptive_avg_pool2d(style_regions.maps, size)
            for region, share in ((0, 0.25), (1, 0.75)):
                g = gram(features[layer][pair], ours[pair, region])
                a = gram(wanted[layer][pair], theirs[pair, region])
                expected += 0.5 * share * ((g - a).square().mean() / a.square().mean()).item()
        assert loss(image.flip(3)).style[pair].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tile_px", [None, 16])
@pytest.mark.parametrize("painted", ["everything", "a part"])
@pytest.mark.parametrize("recipe", ["relative", "moments"])
def test_the_gradient_with_regions_is_autograds(
    network64: VGG, image: Tensor, recipe: str, painted: str, tile_px: int | None
) -> None:
    """In one piece and in tiles, the gradient is autograd's and the losses are those in one piece."""
    regions, of_style, chosen = sides(2, 24, 32, 0.4), sides(2, 24, 32, 0.6), options(recipe)
    if painted == "a part":
        regions, of_style = Regions(regions.maps[:, :1]), Regions(of_style.maps[:, :1])
    style = encode_style(network64, image.flip(2), chosen, of_style)
    content = encode_content(network64, image, chosen)
    loss = PerceptualLoss(network64, content, style, chosen, regions, tile_px)
    pastiche = image.flip(3).requires_grad_()
    whole = PerceptualLoss(network64, content, style, chosen, regions)(pastiche)

    terms, found = loss.with_gradient(pastiche.detach())
    (expected,) = torch.autograd.grad(whole.total.sum(), pastiche)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close((terms.content, terms.style), (whole.content, whole.style), rtol=1e-9, atol=0.0)


def test_if_nothing_is_painted_all_content_counts() -> None:
    """An image of a batch whose regions are all empty has content weight 1 everywhere; the other image is weighted by
    its own regions.
    """
    maps = torch.zeros(2, 1, 4, 8)
    maps[1, :, :, :2] = 1.0

    weights = Regions(maps).of_content(2, 4)

    assert torch.equal(weights[0], torch.ones(1, 2, 4))
    assert torch.equal(weights[1], torch.tensor([[[4.0, 0.0, 0.0, 0.0]] * 2]))


def test_kept_pastiches_keep_their_regions(network64: VGG, image: Tensor) -> None:
    """After `keep`, a pastiche still has the style loss of its own regions; a batch may have no regions at all."""
    regions = batch_regions([sides(1, 24, 32, 0.3), sides(1, 24, 32, 0.7)], 24, 32)
    chosen = options()
    style = encode_style(network64, image.flip(2), chosen, sides(2, 24, 32))
    loss = PerceptualLoss(network64, encode_content(network64, image, chosen), style, chosen, regions)

    kept = loss.keep(torch.tensor([1]))

    torch.testing.assert_close(kept(image[1:]).style, loss(image).style[1:])
    assert batch_regions([None, None], 24, 32) is None


def test_an_image_without_regions_gets_one_everywhere() -> None:
    """In a batch with an image that has a region, an image without any gets one that covers everything."""
    part = Regions(torch.zeros(1, 1, 4, 6))

    found = batch_regions([None, part], 4, 6)

    assert found is not None
    assert found.maps.mean(dim=(2, 3)).tolist() == [[1.0], [0.0]]
