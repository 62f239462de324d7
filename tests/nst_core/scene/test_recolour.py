"""Recolouring of a style image with the content's colours."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.options import StylizeOptions
from nst_core.scene.canvas import grey, luminance
from nst_core.scene.recolour import luminance_matched, matched, recoloured

Picture = Callable[..., Tensor]


def calm(picture: Picture, seed: int, spread: float = 0.15) -> Tensor:
    """Return an image of few, medium colours, so that nothing has to be clamped."""
    return picture(30, 40, seed) * spread + 0.4


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    pixels = image.double().permute(1, 0, 2, 3).flatten(1)
    return pixels.mean(dim=1), torch.cov(pixels, correction=0)


def test_matched_has_the_contents_mean_and_covariance(picture: Picture) -> None:
    """`matched` gives a style the content's colour mean and covariance, but for the ridge on the diagonals."""
    style, content = calm(picture, 1), calm(picture, 2) * torch.tensor([1.0, 0.7, 1.1]).view(1, 3, 1, 1)

    (mean, covariance), (wanted_mean, wanted) = moments(matched(style, content)), moments(content)

    torch.testing.assert_close(mean, wanted_mean, rtol=0.0, atol=1e-4)
    torch.testing.assert_close(covariance, wanted, rtol=0.05, atol=1e-5)


def test_an_image_matched_to_itself_is_unchanged(picture: Picture) -> None:
    """An image matched to itself is unchanged, even a grey or flat one, whose covariance has no inverse."""
    for image in (picture(30, 40, 1), grey(picture(30, 40, 1)), torch.full((1, 3, 8, 8), 0.3)):
        torch.testing.assert_close(matched(image, image), image, rtol=0.0, atol=1e-4)


def test_luminance_matched_has_the_contents_mean_and_deviation(picture: Picture) -> None:
    """`luminance_matched` is grey, with the mean and standard deviation of the content's luminance."""
    style, content = calm(picture, 1), calm(picture, 2, 0.3)

    found = luminance_matched(style, content)

    assert torch.equal(found[:, 0], found[:, 1])
    light, wanted = luminance(found), luminance(content)
    assert light.mean().item() == pytest.approx(wanted.mean().item(), abs=1e-4)
    assert light.std().item() == pytest.approx(wanted.std().item(), rel=1e-3)


@pytest.mark.parametrize("colors", ["match", "luminance"])
def test_recoloured_stays_in_range(picture: Picture, colors: str) -> None:
    """A style of strong contrast, recoloured for a very bright content, is clamped to [0, 1] and finite."""
    content = (picture(30, 40, 2) * 3.0).clamp(0.0, 1.0)

    found = recoloured(picture(30, 40, 1), content, StylizeOptions(colors=colors))

    assert 0.0 <= found.min() <= found.max() <= 1.0


def test_by_default_the_style_is_not_recoloured(picture: Picture) -> None:
    """With default options `recoloured` returns the style image itself."""
    style = picture(30, 40, 1)

    assert recoloured(style, picture(30, 40, 2), StylizeOptions()) is style
