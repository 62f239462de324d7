"""PerceptualLoss in tiles: the same losses, gradients and targets as in one piece."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone, wrap_network
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.regions import Regions
from nst_core.losses.targets import encode_both, encode_content, encode_style
from nst_core.machine.runtime import hardware_here
from nst_core.options import StylizeOptions

Picture = Callable[..., Tensor]

SHALLOW = StylizeOptions(
    content_layers=("relu2_2", "conv1_2"), style_layers=("relu1_1", "conv2_1", "relu3_1"), tv_weight=3.0
)
"""Layers down to a stride of 4 with a halo of 12 px, so that small images have several tiles that see only a part."""


def images_of(picture: Picture, seeds: tuple[int, ...], height: int, width: int) -> Tensor:
    return torch.cat([picture(height, width, seed) for seed in seeds]).double()


def parts(terms: LossTerms) -> Tensor:
    return torch.stack([terms.total, terms.content, terms.style, terms.tv])


def regions_of(pastiche: Tensor) -> Regions:
    """Return two overlapping regions for each image of a batch."""
    generator = torch.Generator().manual_seed(9)
    return Regions(torch.rand(pastiche.shape[0], 2, *pastiche.shape[2:], generator=generator).double())


def losses(network: VGG, picture: Picture, options: StylizeOptions, size: tuple[int, int], regions: bool, tile_px: int):
    """Return the loss of two pairs in one piece, the same in tiles, and pastiches to evaluate both at."""
    options = options.resolved()
    pastiche = images_of(picture, (1, 2), *size)
    where = regions_of(pastiche) if regions else None
    painting = images_of(picture, (5,), 40, 44)
    content = encode_content(network, images_of(picture, (3, 4), *size), options)
    style = encode_style(network, painting, options, regions_of(painting) if regions else None)
    whole, tiled = (PerceptualLoss(network, content, style, options, where, px) for px in (None, tile_px))
    return whole, tiled, pastiche


@pytest.mark.parametrize(
    ("recipe", "pooling", "regions"),
    [("relative", "max", False), ("moments", "average", False), ("gatys", "average", True), ("moments", "max", True)],
)
def test_losses_and_gradients_in_tiles_equal_those_in_one_piece(
    network64: VGG, picture: Picture, recipe: str, pooling: str, regions: bool
) -> None:
    """Losses and gradients in tiles are those in one piece, for Gram matrices and moments, both poolings, with and
    without regions, on images with odd sides.
    """
    options = SHALLOW.overridden({"recipe": recipe, "pooling": pooling})
    whole, tiled, pastiche = losses(network64, picture, options, (37, 51), regions, 16)

    (expected, slope), (found, gradient) = whole.with_gradient(pastiche), tiled.with_gradient(pastiche)

    torch.testing.assert_close(parts(found), parts(expected), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9 * slope.abs().max().item())
    torch.testing.assert_close(parts(tiled(pastiche)), parts(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tile_px", [5, 13, 32, 1000])
def test_the_size_of_tiles_does_not_matter(network64: VGG, picture: Picture, tile_px: int) -> None:
    """Losses and gradients are the same for small tiles, for larger ones, and for one tile larger than the image."""
    whole, tiled, pastiche = losses(network64, picture, SHALLOW, (37, 30), False, tile_px)

    (expected, slope), (found, gradient) = whole.with_gradient(pastiche), tiled.with_gradient(pastiche)

    torch.testing.assert_close(parts(found), parts(expected), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9 * slope.abs().max().item())


@pytest.mark.parametrize("size", [(35, 34), (35, 30)])
def test_a_tile_may_have_a_single_position(network64: VGG, picture: Picture, size: tuple[int, int]) -> None:
    """Gradients are right if tiles at a corner or a side of a single pair's image have one position, whose features are
    one row in memory.
    """
    both = losses(network64, picture, SHALLOW, size, False, 5)
    whole, tiled = (loss.keep(torch.tensor([1])) for loss in both[:2])

    (_, slope), (_, gradient) = whole.with_gradient(both[2][1:]), tiled.with_gradient(both[2][1:])

    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9 * slope.abs().max().item())


def test_tiles_at_the_depth_of_relu5_1(network64: VGG, picture: Picture) -> None:
    """With relu5_1, whose halo is 80 px, tiles of an image longer than two halos give the values of one piece."""
    options = StylizeOptions(style_layers=("relu1_1", "relu4_1", "relu5_1"))
    whole, tiled, pastiche = losses(network64, picture, options, (17, 271), False, 100)
    whole, tiled, pastiche = whole.keep(torch.tensor([1])), tiled.keep(torch.tensor([1])), pastiche[1:]

    (expected, slope), (found, gradient) = whole.with_gradient(pastiche), tiled.with_gradient(pastiche)

    torch.testing.assert_close(parts(found), parts(expected), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-9 * slope.abs().max().item())


def test_targets_in_tiles_equal_those_in_one_piece(network64: VGG, picture: Picture) -> None:
    """Content and style targets, with regions, are the same in tiles, and the same if one pass encodes both."""
    image, options = images_of(picture, (1, 2), 45, 61), SHALLOW.resolved()
    regions = regions_of(image)
    content, style = encode_content(network64, image, options), encode_style(network64, image, options, regions)

    both = encode_both(network64, image, options, regions, 16)

    assert tuple(both[0]) == options.content_layers
    for expected, *found in (
        (content, encode_content(network64, image, options, 16), both[0]),
        (style, encode_style(network64, image, options, regions, 16), both[1]),
    ):
        for one in found:
            assert one.keys() == expected.keys()
            for layer, target in expected.items():
                torch.testing.assert_close(one[layer], target, rtol=1e-9, atol=1e-12)


def test_the_losses_of_the_contents_need_no_pass(network64: VGG, picture: Picture) -> None:
    """`of_contents` computes the losses of the content images from the matrices that were read with their target."""
    whole, _, contents = losses(network64, picture, SHALLOW, (37, 30), False, 16)
    target, matrices = encode_both(network64, contents, whole.options)
    loss = PerceptualLoss(network64, target, whole.style, whole.options)

    torch.testing.assert_close(parts(loss.of_contents(contents, matrices)), parts(loss(contents)))


def test_kept_pairs_are_still_evaluated_in_tiles(network64: VGG, picture: Picture) -> None:
    """After a pair of a batch has stopped, the other one is still evaluated in tiles of the same size."""
    _, tiled, _ = losses(network64, picture, SHALLOW, (37, 30), True, 16)

    assert tiled.keep(torch.tensor([1])).tile_px == 16


@pytest.mark.parametrize(
    ("precision", "recompute", "of_losses", "of_gradients"),
    [("fp32", False, 1e-5, 1e-4), ("fp32", True, 1e-5, 1e-4), ("bf16", False, 1e-3, 0.02)],
)
def test_tiles_in_fp32_and_bf16_differ_by_rounding_only(
    network: VGG, picture: Picture, precision: str, recompute: bool, of_losses: float, of_gradients: float
) -> None:
    """In fp32, with or without recomputing, and in bf16, tiles differ from one piece only by rounding."""
    options = SHALLOW.resolved()
    pastiche = picture(61, 90, 1)
    content = encode_content(network, picture(61, 90, 2), options)
    style = encode_style(network, picture(40, 44, 3), options)
    network = (
        network if precision == "fp32" else wrap_network(network, "vgg19", "0" * 64, precision="bf16").fast.network
    )
    scheduled = ScheduledVGG(network, recompute=recompute)
    (expected, slope), (found, gradient) = (
        PerceptualLoss(scheduled, content, style, options, None, px).with_gradient(pastiche) for px in (None, 32)
    )

    torch.testing.assert_close(parts(found), parts(expected), rtol=of_losses, atol=1e-7)
    assert (gradient - slope).norm() < of_gradients * slope.norm()


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "tile_px"), [("relative", 240), ("moments", 128)])
@pytest.mark.parametrize(("precision", "of_losses", "of_gradients"), [("fp32", 1e-5, 1e-3), ("bf16", 1e-3, 0.02)])
def test_tiles_with_the_real_network(
    real_vgg19: Backbone,
    picture: Picture,
    recipe: str,
    tile_px: int,
    precision: str,
    of_losses: float,
    of_gradients: float,
) -> None:
    """With the real VGG-19 and 256 x 320 px, tiles give the losses and gradients of one piece, up to rounding."""
    if precision == "bf16" and "cpu" not in hardware_here().with_bf16:
        pytest.skip("this processor has no instructions for bf16, without which the test takes minutes")
    options = StylizeOptions(recipe=recipe).resolved()
    pastiche, network = picture(320, 256, 1), real_vgg19.exact
    content = encode_content(network, picture(320, 256, 2), options)
    style = encode_style(network, picture(240, 320, 3), options)
    fast = wrap_network(network, "vgg19", "0" * 64, precision=precision).fast
    (expected, slope), (found, gradient) = (
        PerceptualLoss(fast, content, style, options, None, px).with_gradient(pastiche) for px in (None, tile_px)
    )

    torch.testing.assert_close(parts(found), parts(expected), rtol=of_losses, atol=1e-6)
    assert (gradient - slope).norm() < of_gradients * slope.norm()
