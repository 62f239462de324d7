"""2 x 2 pooling and its gradient, compared with torch's own pooling under autograd."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import bf16_cpu
from nst_core.backbones.pooling import average_pool, pool, pool_backward
from tests.tensor_allocations import Made

SHAPES = [(1, 3, 8, 6), (2, 4, 7, 9), (1, 2, 2, 2), (1, 1, 3, 2)]
ORDERS = [torch.contiguous_format, torch.channels_last]


def features_of(shape: tuple[int, ...], order: torch.memory_format) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=order)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_and_its_gradient_equal_torchs(
    shape: tuple[int, ...], order: torch.memory_format, pooling: str
) -> None:
    """In either memory order, for even and odd sizes, values and gradients are those of torch's own pooling."""
    features = features_of(shape, order)
    ours = pool(features, pooling)
    gradient = torch.randn(ours.output.shape, generator=torch.Generator().manual_seed(1))
    reference = features.clone().requires_grad_()
    expected = functional.max_pool2d(reference, 2, 2) if pooling == "max" else average_pool(reference)
    expected.backward(gradient)

    torch.testing.assert_close(ours.output, expected)
    torch.testing.assert_close(pool_backward(gradient, features, ours), reference.grad)


@pytest.mark.parametrize("order", ORDERS)
def test_one_of_equal_values_gets_the_whole_gradient(order: torch.memory_format) -> None:
    """If all values of a window are equal, one position gets the whole gradient, so that the sum does not change."""
    flat = torch.ones(1, 2, 6, 6).contiguous(memory_format=order)
    back = pool_backward(torch.full((1, 2, 3, 3), 2.0), flat, pool(flat, "max"))
    windows = back.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)

    assert torch.equal(windows.sum(dim=-1), torch.full((1, 2, 3, 3), 2.0))
    assert torch.equal((windows != 0).sum(dim=-1), torch.ones(1, 2, 3, 3, dtype=torch.int64))


@pytest.mark.usefixtures("filled_memory")
@pytest.mark.parametrize("shape", [(1, 2, 7, 6), (1, 2, 6, 7), (2, 3, 5, 5), (1, 2, 6, 8), (1, 2, 9, 6), (1, 2, 6, 9)])
def test_rows_and_columns_that_pooling_ignores_have_no_gradient(shape: tuple[int, ...]) -> None:
    """The gradient of an odd last row or column is zero, and every number of the gradient is written."""
    features = features_of(shape, torch.contiguous_format)
    pooled = pool(features, "max")

    back = pool_backward(torch.ones_like(pooled.output), features, pooled)

    assert bool(torch.isfinite(back).all())
    assert not back[:, :, shape[2] // 2 * 2 :].any()
    assert not back[..., shape[3] // 2 * 2 :].any()
    assert back.sum() == pooled.output.numel()


def test_the_gradient_is_computed_some_channels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is computed for as many channels at a time as `CHUNK_FLOATS` allows."""
    channel = 2 * 12 * 10  # images, rows, columns
    monkeypatch.setattr("nst_core.backbones.pooling.CHUNK_FLOATS", 5 * channel - 1)
    features = features_of((2, 11, 12, 10), torch.contiguous_format)
    pooled = pool(features, "max")
    gradient = torch.ones_like(pooled.output)

    with Made() as made:
        back = pool_backward(gradient, features, pooled)

    first, *others = made.sizes
    assert first == back.numel()
    assert max(others) == 4 * channel // 2
    assert (
        others.count(max(others)) == 3 * 2
    )  # maxima, gradients and masks by rows, of four channels twice; then of three


def test_a_channel_above_the_limit_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one channel has more than `CHUNK_FLOATS` floats, its gradient is computed whole."""
    features = features_of((1, 3, 12, 10), torch.contiguous_format)
    pooled = pool(features, "max")
    expected = pool_backward(torch.ones_like(pooled.output), features, pooled)
    monkeypatch.setattr("nst_core.backbones.pooling.CHUNK_FLOATS", 1)

    assert torch.equal(pool_backward(torch.ones_like(pooled.output), features, pooled), expected)


def test_a_contiguous_map_on_a_cpu_is_pooled_without_indices() -> None:
    """On a CPU, only a channels_last fp32 map is pooled by torch, which keeps an index of eight bytes per output."""
    features = features_of((1, 2, 8, 6), torch.contiguous_format)

    assert pool(features, "max").indices is None
    assert pool(features.contiguous(memory_format=torch.channels_last), "max").indices is not None


def test_bf16_in_channels_last_order_is_pooled_without_indices() -> None:
    """A bf16 map in channels_last order is pooled without indices, and its gradient is in channels_last order even if
    the pooled map's gradient is not.
    """
    features = features_of((1, 4, 8, 6), torch.channels_last).bfloat16().relu()
    features = bf16_cpu.rectify(features)
    pooled = pool(features, "max")
    gradient = torch.ones_like(pooled.output).contiguous()

    back = pool_backward(gradient, features, pooled)

    assert pooled.indices is None
    assert back.is_contiguous(memory_format=torch.channels_last)
    assert back.sum() == gradient.numel()


def test_average_pooling_of_one_window() -> None:
    """The output is the window's mean times 1.45, and each of its four inputs gets a quarter of the scaled gradient."""
    features = torch.tensor([[1.0, 2.0, 9.0], [3.0, 6.0, 9.0]]).view(1, 1, 2, 3)
    pooled = pool(features, "average")

    assert pooled.output.flatten().tolist() == pytest.approx([1.45 * 3.0])
    back = pool_backward(torch.full((1, 1, 1, 1), 4.0), features, pooled)
    assert back.flatten().tolist() == pytest.approx([1.45, 1.45, 0.0, 1.45, 1.45, 0.0])


def test_temporaries_of_a_large_map_are_limited() -> None:
    """With the real limits, the largest temporary of a map of 12 million floats has one to four million."""
    features = torch.ones(1, 12, 1024, 1024)
    pooled = pool(features, "max")

    with Made() as made:
        pool_backward(pooled.output, features, pooled)

    assert 1_000_000 < max(made.sizes[1:]) <= 4_000_000
