"""What every optimizer offers to the loop."""

from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """Minimises one function per row of `point`.

    Attributes:
        point: where the functions are to be evaluated next, shape (N, n), float32.
        steps: accepted steps of each row, shape (N,), int64.
    """

    point: Tensor
    steps: Tensor

    def tell(self, values: Tensor, gradients: Tensor) -> None:
        """Take the values, shape (N,), and gradients, shape (N, n), at `point`, and move `point`."""

    def keep(self, index: Tensor) -> None:
        """Go on with some of the rows only."""
