"""winograd: 3 x 3 convolution by minimal filtering, held to the direct one in float64."""

import pytest
import torch
from torch.nn import functional

from nst_core.backbones import winograd


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (3, 5), (1, 1), (16, 31)])
@pytest.mark.parametrize(("channels", "filters"), [(3, 5), (16, 16)])
def test_it_is_the_direct_convolution(height: int, width: int, channels: int, filters: int) -> None:
    """For every size, whole tiles or not, it is the convolution of its definition to fp32's rounding."""
    generator = torch.Generator().manual_seed(height * width + channels)
    features = torch.randn(2, channels, height, width, generator=generator)
    weight = torch.randn(filters, channels, 3, 3, generator=generator)
    bias = torch.randn(filters, generator=generator)
    expected = functional.conv2d(features.double(), weight.double(), bias.double(), padding=1)

    found = winograd.convolve(features, winograd.transform_weights(weight), bias)

    assert found.shape == expected.shape
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map worked through in many strips comes out as in one."""
    generator = torch.Generator().manual_seed(0)
    # In float64, where a product of another shape, which may add up in another order, still differs by nothing.
    features = torch.randn(1, 8, 40, 24, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 8, 3, 3, generator=generator, dtype=torch.float64)
    transformed = winograd.transform_weights(weight)
    at_once = winograd.convolve(features, transformed, None)

    monkeypatch.setattr(winograd, "STRIP_FLOATS", 1)

    torch.testing.assert_close(winograd.convolve(features, transformed, None), at_once)
