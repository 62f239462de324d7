"""adam: the elementwise method as published."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.optimizers.adam import Adam


def valley(x: Tensor) -> Tensor:
    before, after = x[:, :-1], x[:, 1:]
    return ((1.0 - before).square() + 100.0 * (after - before.square()).square()).sum(dim=1)


def tell(optimizer: Adam, function: Callable[[Tensor], Tensor] = valley) -> None:
    point = optimizer.point.clone().requires_grad_()
    values = function(point)
    (gradients,) = torch.autograd.grad(values.sum(), point)
    optimizer.tell(values.detach(), gradients)


def start(rows: int = 3) -> Tensor:
    return torch.randn(rows, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("learning_rate", [0.003, 0.05, 1.0])
def test_every_point_is_that_of_torch(learning_rate: float) -> None:
    """Each of 50 points is the same as with torch's Adam in its default settings."""
    optimizer = Adam(start(), learning_rate=learning_rate)
    parameter = start().requires_grad_()
    reference = torch.optim.Adam([parameter], lr=learning_rate)

    for _ in range(50):
        tell(optimizer)
        reference.zero_grad()
        valley(parameter).sum().backward()
        reference.step()
        torch.testing.assert_close(optimizer.point, parameter.detach(), rtol=1e-4, atol=1e-5)


def test_first_step_by_hand() -> None:
    """The first step moves each coordinate by the learning rate against the sign of its gradient."""
    optimizer = Adam(torch.zeros(1, 3), learning_rate=0.1)

    optimizer.tell(torch.zeros(1), torch.tensor([[1e-3, -1e6, 2.0]]))

    assert optimizer.point.tolist() == [pytest.approx([-0.1, 0.1, -0.1], rel=1e-4)]


def test_steps_is_one_less_than_evaluations() -> None:
    """The first evaluation is of the start, so that after n evaluations `steps` is n - 1."""
    optimizer = Adam(start(), learning_rate=0.1)
    counts = []

    for _ in range(3):
        tell(optimizer)
        counts.append(optimizer.steps.tolist())

    assert counts == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_rows_do_not_influence_each_other() -> None:
    """A row of a batch moves as it does alone, even beside a row of NaN."""
    ill = start()
    ill[0] = torch.nan
    together, alone = Adam(ill, learning_rate=0.1), Adam(start()[1:], learning_rate=0.1)

    for _ in range(20):
        tell(together)
        tell(alone)

    torch.testing.assert_close(together.point[1:], alone.point, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("when", [0, 1, 10])
def test_keep(when: int) -> None:
    """The rows that `keep` keeps continue their paths unchanged, in the new order."""
    whole, some = Adam(start(), learning_rate=0.1), Adam(start(), learning_rate=0.1)
    kept = torch.tensor([2, 0])

    for _ in range(when):
        tell(some)
    some.keep(kept)
    for _ in range(20 - when):
        tell(some)
    for _ in range(20):
        tell(whole)

    torch.testing.assert_close(some.point, whole.point[kept], rtol=1e-6, atol=1e-7)
    assert some.steps.tolist() == [19, 19]


def test_the_start_is_not_changed() -> None:
    """The optimizer does not change the tensor that it started from."""
    given = start()

    tell(Adam(given, learning_rate=0.1))

    assert torch.equal(given, start())
