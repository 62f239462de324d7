"""Rectifiers and max pooling of bf16 maps by integer operations: equal to torch's own bit for bit, in small parts."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu
from tests.tensor_allocations import Made

SHAPES = [(1, 3, 8, 6), (2, 4, 7, 9), (1, 2, 2, 2), (1, 1, 3, 2), (2, 64, 96, 97)]
"""Even and odd sizes; the last one is processed in several bands and chunks."""


def bf16(shape: tuple[int, ...], seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
def test_rectifying_equals_torchs(shape: tuple[int, ...]) -> None:
    """The rectified copy and its gradient have the same values as torch's, and the map itself is not changed."""
    features, gradient = bf16(shape, 0), bf16(shape, 1)
    before = features.clone()
    expected = torch.where(features > 0, gradient, torch.zeros_like(gradient))

    rectified = bf16_cpu.rectify(features)

    assert torch.equal(features, before)
    assert torch.equal(rectified, features.relu())
    assert torch.equal(bf16_cpu.rectify_backward(gradient, rectified), expected)
    assert rectified.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
def test_max_pooling_equals_torchs(shape: tuple[int, ...]) -> None:
    """Maxima equal torch's, and so does the gradient wherever a window has a single maximum."""
    features = bf16_cpu.rectify(bf16(shape, 0))
    reference = features.clone().requires_grad_()
    expected = functional.max_pool2d(reference, 2, 2)
    gradient = bf16(tuple(expected.shape), 1)
    expected.backward(gradient)
    assert reference.grad is not None

    pooled, back = bf16_cpu.max_pool(features), bf16_cpu.max_pool_backward(gradient, features)

    assert torch.equal(pooled, expected)
    assert pooled.is_contiguous(memory_format=torch.channels_last)
    ties = functional.interpolate(_tied(features).float(), scale_factor=2.0)
    unique = torch.zeros(shape, dtype=torch.bool)
    unique[..., : ties.shape[2], : ties.shape[3]] = ties == 0
    assert torch.equal(back[unique], reference.grad[unique])
    assert unique.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_one_maximum_of_a_window_gets_its_whole_gradient(shape: tuple[int, ...]) -> None:
    """With or without ties, one of the largest values of a window gets all of its gradient, and the others get 0."""
    features = bf16_cpu.rectify(bf16(shape, 0).mul(2).round())
    pooled = bf16_cpu.max_pool(features)
    gradient = bf16(tuple(pooled.shape), 1)

    windows = bf16_cpu.max_pool_backward(gradient, features).unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    largest = features.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4) == pooled[..., None]

    assert torch.equal(windows.sum(dim=-1), gradient)
    assert ((windows != 0).sum(dim=-1) <= 1).all()
    assert not windows[~largest].any()


def test_infinite_tiny_and_zero_numbers_are_rectified_correctly() -> None:
    """Infinities, subnormal numbers and both zeros are rectified correctly, and so is their gradient."""
    values = torch.tensor([torch.inf, 3e38, 1.0, 1e-40, 0.0, -0.0, -1e-40, -1.0, -torch.inf]).bfloat16()
    features = values.view(1, 1, 3, 3).contiguous(memory_format=torch.channels_last)
    ones = torch.ones_like(features)

    rectified = bf16_cpu.rectify(features)

    assert torch.equal(rectified.flatten(), torch.tensor([torch.inf, 3e38, 1.0, 1e-40, 0, 0, 0, 0, 0]).bfloat16())
    assert bf16_cpu.rectify_backward(ones, rectified).flatten().tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_only_bf16_channels_last_maps_are_supported() -> None:
    """Only bf16 maps in channels_last order on a CPU are supported."""
    features = bf16((1, 4, 6, 6), 0)

    assert bf16_cpu.supports(features, features)
    assert not bf16_cpu.supports(features, features.contiguous())
    assert not bf16_cpu.supports(features.float())


def _tied(features: Tensor) -> Tensor:
    """Return where the largest value of a 2 x 2 window occurs twice."""
    windows = features.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    return (windows == windows.amax(dim=-1, keepdim=True)).sum(dim=-1) > 1


@pytest.mark.usefixtures("filled_memory")
@pytest.mark.parametrize("shape", [(1, 2, 7, 6), (1, 2, 6, 7), (2, 3, 5, 5), (1, 2, 6, 8), (1, 2, 9, 6), (1, 2, 6, 9)])
def test_rows_and_columns_that_pooling_ignores_have_no_gradient(shape: tuple[int, ...]) -> None:
    """The gradient of an odd last row or column is zero, and every number of the gradient is written."""
    features = bf16_cpu.rectify(bf16(shape, 0))
    height, width = shape[2] // 2 * 2, shape[3] // 2 * 2
    gradient = torch.ones_like(bf16_cpu.max_pool(features))

    back = bf16_cpu.max_pool_backward(gradient, features)

    assert bool(torch.isfinite(back).all())
    assert not back[:, :, height:].any()
    assert not back[..., width:].any()
    assert back.sum() == gradient.numel()


def test_a_gradient_is_rectified_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient is rectified in place; its temporaries have at most the numbers of one chunk."""
    monkeypatch.setattr(bf16_cpu, "CHUNK", 1000)
    rectified, gradient = bf16_cpu.rectify(bf16((2, 4, 40, 13), 0)), bf16((2, 4, 40, 13), 1)

    with Made() as made:
        back = bf16_cpu.rectify_backward(gradient, rectified)

    assert made.sizes == [1000] * 4 + [160]
    assert back is gradient


def test_a_map_is_pooled_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands have as many pairs of rows as fit into `BAND` bytes; temporaries are half as large as a band."""
    of_two_rows = 2 * 2 * 2 * 12 * 4  # bytes per number, rows, images, columns, channels
    monkeypatch.setattr(bf16_cpu, "BAND", 3 * of_two_rows + of_two_rows - 1)
    features = bf16_cpu.rectify(bf16((2, 4, 40, 12), 0))
    expected = functional.max_pool2d(features, 2, 2)

    with Made() as made:
        pooled = bf16_cpu.max_pool(features)

    assert torch.equal(pooled, expected)
    assert made.sizes == [pooled.numel(), *[3 * of_two_rows // 4] * 6, 2 * of_two_rows // 4]


def test_the_gradient_of_pooling_is_computed_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor except the gradient itself is larger than half a band."""
    of_two_rows = 2 * 2 * 1 * 12 * 4
    monkeypatch.setattr(bf16_cpu, "BAND", 5 * of_two_rows)
    features = bf16_cpu.rectify(bf16((1, 4, 40, 12), 0))
    gradient = torch.ones_like(bf16_cpu.max_pool(features))

    with Made() as made:
        back = bf16_cpu.max_pool_backward(gradient, features)

    first, *others = made.sizes
    assert first == back.numel()
    assert max(others) == 5 * of_two_rows // 4
    assert others.count(max(others)) == 3 * 4  # gradients, maxima and masks by rows, of four bands


def test_a_map_wider_than_a_band_is_pooled_two_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A band has at least two rows, so that a map whose rows do not fit into `BAND` bytes is pooled all the same."""
    features = bf16_cpu.rectify(bf16((1, 3, 10, 9), 0))
    expected = bf16_cpu.max_pool(features)
    monkeypatch.setattr(bf16_cpu, "BAND", 1)

    assert torch.equal(bf16_cpu.max_pool(features), expected)


def test_temporaries_of_a_large_map_fit_the_cache() -> None:
    """With the real limits, the largest temporary has from 64 KiB to 1 MiB: it fits the cache, and calls are few."""
    rectified = bf16_cpu.rectify(bf16((1, 64, 256, 128), 0))
    gradient = torch.ones_like(bf16_cpu.max_pool(rectified))

    with Made() as rectifying:
        bf16_cpu.rectify_backward(rectified.clone(), rectified)
    with Made() as pooling:
        bf16_cpu.max_pool_backward(gradient, rectified)

    for chunks in (rectifying.sizes[1:], pooling.sizes[1:]):
        assert 1 << 16 <= 2 * max(chunks) <= 1 << 20
