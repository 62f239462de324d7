"""3 x 3 convolution by Winograd's algorithm, compared with direct convolution in float64."""

import pytest
import torch
from torch.nn import functional

from nst_core.backbones import winograd
from tests.tensor_allocations import Made


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (3, 5), (1, 1), (16, 31)])
@pytest.mark.parametrize(("channels", "filters"), [(3, 5), (16, 16)])
def test_it_equals_direct_convolution(height: int, width: int, channels: int, filters: int) -> None:
    """For sizes that are whole tiles and others, the result differs from direct convolution by less than 1e-5."""
    generator = torch.Generator().manual_seed(height * width + channels)
    features = torch.randn(2, channels, height, width, generator=generator)
    weight = torch.randn(filters, channels, 3, 3, generator=generator)
    bias = torch.randn(filters, generator=generator)
    expected = functional.conv2d(features.double(), weight.double(), bias.double(), padding=1)

    found = winograd.convolve(features, winograd.transform_weights(weight), bias)

    assert found.shape == expected.shape
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_strips_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that is convolved in many strips has the same result as in one strip."""
    generator = torch.Generator().manual_seed(0)
    # In float64: a product of another shape may be added up in another order, which is then far below the tolerance.
    features = torch.randn(1, 8, 40, 24, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 8, 3, 3, generator=generator, dtype=torch.float64)
    transformed = winograd.transform_weights(weight)
    at_once = winograd.convolve(features, transformed, None)

    monkeypatch.setattr(winograd, "STRIP_FLOATS", 1)

    torch.testing.assert_close(winograd.convolve(features, transformed, None), at_once)


@pytest.mark.usefixtures("filled_memory")
@pytest.mark.parametrize("bias", [True, False])
def test_every_pixel_is_written(bias: bool) -> None:
    """If the size is not a multiple of the tiles', every pixel of the result is still written."""
    features, weight = torch.ones(2, 3, 9, 6), torch.ones(2, 3, 3, 3)

    found = winograd.convolve(features, winograd.transform_weights(weight), torch.ones(2) if bias else None)

    assert found.shape == (2, 2, 9, 6)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], torch.full((2, 2, 7, 4), 27.0 + bias))
    torch.testing.assert_close(found[:, :, 0, 0], torch.full((2, 2), 12.0 + bias))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("channels", "filters"), [(8, 4), (4, 8)])
def test_a_strip_is_as_large_as_its_limit_allows(monkeypatch: pytest.MonkeyPatch, channels: int, filters: int) -> None:
    """A strip has as many rows of tiles as `STRIP_FLOATS` allows for the transformed tiles of the wider of the two
    maps.
    """
    of_a_row = 36 * 5 * 8  # numbers of a transformed tile, tiles across, channels
    monkeypatch.setattr(winograd, "STRIP_FLOATS", 3 * of_a_row - 1)
    features, weight = torch.ones(1, channels, 41, 18), torch.ones(filters, channels, 3, 3)
    transformed = winograd.transform_weights(weight)

    with Made() as made:
        winograd.convolve(features, transformed, None)

    padded, output, *others = made.sizes
    assert (padded, output) == (channels * 46 * 22, filters * 44 * 20)
    in_strips = [size for size in others if size % (36 * 5) == 0 and size > 36 * 36]
    assert max(in_strips) == 2 * of_a_row
    assert in_strips.count(2 * of_a_row) >= 5  # eleven rows of tiles are five strips of two, and one


def test_weights_are_transformed_in_float64_and_rounded_once() -> None:
    """The transform of fp32 weights equals that of the same weights in float64, rounded once."""
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))

    found = winograd.transform_weights(weight)

    assert found.dtype == torch.float32
    assert torch.equal(found, winograd.transform_weights(weight.double()).float())


def test_strips_of_a_large_map_stay_in_the_cache() -> None:
    """With the real limits, the transformed tiles of a strip have one to six million floats, fewer than the map's."""
    features, transformed = torch.ones(1, 64, 240, 240), winograd.transform_weights(torch.ones(64, 64, 3, 3))

    with Made() as made:
        winograd.convolve(features, transformed, None)

    _, _, *others = made.sizes
    assert 1_000_000 < max(others) <= 6_000_000 < 36 * 60 * 60 * 64
