"""The interface of every optimizer."""

from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Minimises one function per row of `point`.

    Attributes:
        point: the point at which the functions are to be evaluated next, shape (N, n), float32.
        steps: the number of accepted steps of each row, shape (N,), int64.
    """

    point: Tensor
    steps: Tensor

    def tell(self, values: Tensor, gradients: Tensor) -> None:
        """Receive the values, shape (N,), and gradients, shape (N, n), at `point`, and move `point`."""

    def keep(self, index: Tensor) -> None:
        """Continue with some of the rows only, in the order of `index`."""
