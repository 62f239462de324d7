"""bf16_cpu: rectifiers and max pooling of bf16 maps by integer operations, equal to torch's own bit for bit."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu
from tests.tensor_allocations import Made

SHAPES = [(1, 3, 8, 6), (2, 4, 7, 9), (1, 2, 2, 2), (1, 1, 3, 2), (2, 64, 96, 97)]
"""Even and odd ones; the last is worked on in several bands and chunks."""


def bf16(shape: tuple[int, ...], seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
def test_rectifying_is_torchs(shape: tuple[int, ...]) -> None:
    """A rectified copy, and the gradient back from it, have torch's own bits; the map itself stays as it was."""
    features, gradient = bf16(shape, 0), bf16(shape, 1)
    before = features.clone()
    expected = torch.where(features > 0, gradient, torch.zeros_like(gradient))

    rectified = bf16_cpu.rectify(features)

    assert torch.equal(features, before)
    assert torch.equal(rectified, features.relu())
    assert torch.equal(bf16_cpu.rectify_backward(gradient, rectified), expected)
    assert rectified.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
def test_max_pooling_is_torchs(shape: tuple[int, ...]) -> None:
    """Maxima are torch's own, and where they are alone in their window so is the gradient."""
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
    alone = torch.zeros(shape, dtype=torch.bool)
    alone[..., : ties.shape[2], : ties.shape[3]] = ties == 0
    assert torch.equal(back[alone], reference.grad[alone])
    assert alone.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_window_keeps_its_gradient_whole(shape: tuple[int, ...]) -> None:
    """Ties or none, one of the largest values of a window takes all of its gradient, and the rest nothing."""
    features = bf16_cpu.rectify(bf16(shape, 0).mul(2).round())
    pooled = bf16_cpu.max_pool(features)
    gradient = bf16(tuple(pooled.shape), 1)

    windows = bf16_cpu.max_pool_backward(gradient, features).unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    largest = features.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4) == pooled[..., None]

    assert torch.equal(windows.sum(dim=-1), gradient)
    assert ((windows != 0).sum(dim=-1) <= 1).all()
    assert not windows[~largest].any()


def test_the_largest_and_smallest_numbers() -> None:
    """Infinity, the smallest numbers, both zeros: their order as integers is their order as numbers."""
    values = torch.tensor([torch.inf, 3e38, 1.0, 1e-40, 0.0, -0.0, -1e-40, -1.0, -torch.inf]).bfloat16()
    features = values.view(1, 1, 3, 3).contiguous(memory_format=torch.channels_last)
    ones = torch.ones_like(features)

    rectified = bf16_cpu.rectify(features)

    assert torch.equal(rectified.flatten(), torch.tensor([torch.inf, 3e38, 1.0, 1e-40, 0, 0, 0, 0, 0]).bfloat16())
    assert bf16_cpu.rectify_backward(ones, rectified).flatten().tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_what_suits() -> None:
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
def test_what_pooling_leaves_out_has_no_gradient(shape: tuple[int, ...]) -> None:
    """An odd last row or column of the gradient is zero, and all of it is written, whatever the memory held."""
    features = bf16_cpu.rectify(bf16(shape, 0))
    height, width = shape[2] // 2 * 2, shape[3] // 2 * 2
    gradient = torch.ones_like(bf16_cpu.max_pool(features))

    back = bf16_cpu.max_pool_backward(gradient, features)

    assert bool(torch.isfinite(back).all())
    assert not back[:, :, height:].any()
    assert not back[..., width:].any()
    assert back.sum() == gradient.numel()


def test_a_gradient_is_rectified_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporaries are as large as a chunk, however large the map; the gradient itself is not copied."""
    monkeypatch.setattr(bf16_cpu, "CHUNK", 1000)
    rectified, gradient = bf16_cpu.rectify(bf16((2, 4, 40, 13), 0)), bf16((2, 4, 40, 13), 1)

    with Made() as made:
        back = bf16_cpu.rectify_backward(gradient, rectified)

    assert made.sizes == [1000] * 4 + [160]
    assert back is gradient


def test_a_map_is_pooled_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands have as many pairs of rows as fit into the given bytes; temporaries are half as large as a band."""
    of_two_rows = 2 * 2 * 2 * 12 * 4  # bytes per number, rows, pictures, columns, channels
    monkeypatch.setattr(bf16_cpu, "BAND", 3 * of_two_rows + of_two_rows - 1)
    features = bf16_cpu.rectify(bf16((2, 4, 40, 12), 0))
    expected = functional.max_pool2d(features, 2, 2)

    with Made() as made:
        pooled = bf16_cpu.max_pool(features)

    assert torch.equal(pooled, expected)
    assert made.sizes == [pooled.numel(), *[3 * of_two_rows // 4] * 6, 2 * of_two_rows // 4]


def test_a_gradient_of_pooling_is_made_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the gradient itself is larger than half a band."""
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


def test_a_map_wider_than_a_band_is_pooled_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """If not even two rows fit into a band, it still has two."""
    features = bf16_cpu.rectify(bf16((1, 3, 10, 9), 0))
    expected = bf16_cpu.max_pool(features)
    monkeypatch.setattr(bf16_cpu, "BAND", 1)

    assert torch.equal(bf16_cpu.max_pool(features), expected)


def test_what_is_made_on_the_way_of_a_large_map_stays_in_the_cache() -> None:
    """With the real constants, temporaries are at most a megabyte, and large enough that the calls cost little."""
    rectified = bf16_cpu.rectify(bf16((1, 64, 256, 128), 0))
    gradient = torch.ones_like(bf16_cpu.max_pool(rectified))

    with Made() as rectifying:
        bf16_cpu.rectify_backward(rectified.clone(), rectified)
    with Made() as pooling:
        bf16_cpu.max_pool_backward(gradient, rectified)

    for chunks in (rectifying.sizes[1:], pooling.sizes[1:]):
        assert 1 << 16 <= 2 * max(chunks) <= 1 << 20
