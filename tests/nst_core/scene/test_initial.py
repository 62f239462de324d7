"""The initial pastiche, from which the optimisation starts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nst_core.options import StylizeOptions
from nst_core.scene.initial import initial_pastiche

Picture = Callable[..., Tensor]


def start(picture: Picture, **values: Any) -> Tensor:
    options = StylizeOptions.model_validate(values).resolved()
    return initial_pastiche(picture(40, 56, 1), picture(30, 20, 2), options)


def test_init_content_is_the_content_image(picture: Picture) -> None:
    """`init` content returns the content image unchanged."""
    assert torch.equal(start(picture, init="content"), picture(40, 56, 1))


def test_init_style_is_the_style_image_stretched(picture: Picture) -> None:
    """`init` style returns the style image, stretched to the content's height and width."""
    style = picture(30, 20, 2)

    found = start(picture, init="style")

    assert found.shape == (1, 3, 40, 56)
    assert 0.0 <= found.min().item() <= found.max().item() <= 1.0
    torch.testing.assert_close(found.mean(dim=(2, 3)), style.mean(dim=(2, 3)), rtol=0.0, atol=0.01)
    torch.testing.assert_close(
        torch.nn.functional.adaptive_avg_pool2d(found, (2, 2)),
        torch.nn.functional.adaptive_avg_pool2d(style, (2, 2)),
        rtol=0.0,
        atol=0.03,
    )


def test_a_larger_style_is_not_aliased(picture: Picture) -> None:
    """A style image that is reduced is averaged, so that a fine chequerboard becomes grey."""
    board = torch.arange(120)[:, None].add(torch.arange(120)).remainder(2).float().expand(1, 3, 120, 120)

    found = initial_pastiche(picture(40, 40, 1), board, StylizeOptions(init="style").resolved())

    torch.testing.assert_close(found[..., 2:-2, 2:-2], torch.full((1, 3, 36, 36), 0.5), rtol=0.0, atol=0.07)


def test_init_noise_is_faint_around_the_mean_colour(picture: Picture) -> None:
    """`init` noise has ImageNet's mean colour and a standard deviation of 0.02, and lies in [0, 1]."""
    found = start(picture, init="noise")

    assert found.shape == (1, 3, 40, 56)
    assert found.dtype == torch.float32
    assert found.min().item() >= 0.0
    assert found.max().item() <= 1.0
    assert found.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0.485, 0.456, 0.406], abs=0.002)
    assert found.std(dim=(0, 2, 3)).tolist() == pytest.approx([0.02, 0.02, 0.02], abs=0.002)


def test_noise_is_seeded(picture: Picture) -> None:
    """A seed always gives the same noise, another seed gives other noise, and torch's global generator is not used."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    first, second, other = (start(picture, init="noise", seed=seed) for seed in (3, 3, 4))

    assert torch.equal(first, second)
    assert (first - other).abs().mean().item() > 0.01
    assert torch.equal(torch.rand(3), expected)


def test_noise_accepts_the_largest_seed(picture: Picture) -> None:
    """The largest seed that the options allow gives finite noise, other than that of seed 0."""
    found = start(picture, init="noise", seed=2**63 - 1)

    assert bool(torch.isfinite(found).all())
    assert not torch.equal(found, start(picture, init="noise", seed=0))


def test_a_smaller_style_is_stretched_between_pixel_centres(picture: Picture) -> None:
    """Colours are interpolated between pixel centres: of two pixels enlarged to four, the outer ones stay the same."""
    style = torch.tensor([0.0, 1.0]).expand(1, 3, 2, 2)

    found = initial_pastiche(picture(2, 4, 1), style, StylizeOptions(init="style").resolved())

    torch.testing.assert_close(found, torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(1, 3, 2, 4))
