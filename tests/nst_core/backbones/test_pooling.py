"""pooling: pooling of 2 x 2 and its gradient, held to autograd's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.pooling import average_pool, pool, pool_backward

SHAPES = [(1, 3, 8, 6), (2, 4, 7, 9), (1, 2, 2, 2), (1, 1, 3, 2)]
ORDERS = [torch.contiguous_format, torch.channels_last]


def features_of(shape: tuple[int, ...], order: torch.memory_format) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=order)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_and_its_gradient_are_autograds(
    shape: tuple[int, ...], order: torch.memory_format, pooling: str
) -> None:
    """In either memory order, of even and odd sizes, values and gradients are those of torch's own pooling."""
    features = features_of(shape, order)
    ours = pool(features, pooling)
    gradient = torch.randn(ours.output.shape, generator=torch.Generator().manual_seed(1))
    reference = features.clone().requires_grad_()
    expected = functional.max_pool2d(reference, 2, 2) if pooling == "max" else average_pool(reference)
    expected.backward(gradient)

    torch.testing.assert_close(ours.output, expected)
    torch.testing.assert_close(pool_backward(gradient, features, ours), reference.grad)


@pytest.mark.parametrize("order", ORDERS)
def test_of_equal_values_one_takes_the_gradient(order: torch.memory_format) -> None:
    """Where a window is flat, its whole gradient goes to one place: their sum is kept."""
    flat = torch.ones(1, 2, 6, 6).contiguous(memory_format=order)
    back = pool_backward(torch.full((1, 2, 3, 3), 2.0), flat, pool(flat, "max"))
    windows = back.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)

    assert torch.equal(windows.sum(dim=-1), torch.full((1, 2, 3, 3), 2.0))
    assert torch.equal((windows != 0).sum(dim=-1), torch.ones(1, 2, 3, 3, dtype=torch.int64))
