"""Adam: Kingma and Ba (1412.6980), algorithm 1. It is elementwise, so rows of a batch never influence each other."""

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Minimises one function per row of `point`.

    Args:
        start: the first point, shape (N, n), float32.
        learning_rate: step size in units of the coordinates.

    Attributes:
        point: the next point to evaluate, shape (N, n).
        steps: the number of steps of each row, shape (N,).
    """

    def __init__(self, start: Tensor, *, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.point = start.clone()
        self.steps = torch.full((start.shape[0],), -1, dtype=torch.int64, device=start.device)
        self.first_moment = torch.zeros_like(start)
        self.second_moment = torch.zeros_like(start)
        self._evaluations = 0

    def tell(self, values: Tensor, gradients: Tensor) -> None:  # noqa: ARG002  # part of the common interface
        """Receive the gradients, shape (N, n), at `point`, and move `point`. The values are not used."""
        self._evaluations += 1
        self.steps += 1  # starts at -1: the first evaluation is that of the start, which is not a step
        first, second = BETAS
        self.first_moment.lerp_(gradients, 1.0 - first)
        self.second_moment.mul_(second).addcmul_(gradients, gradients, value=1.0 - second)
        corrected = (self.second_moment / (1.0 - second**self._evaluations)).sqrt()
        rate = self.learning_rate / (1.0 - first**self._evaluations)
        self.point = self.point - rate * self.first_moment / (corrected + EPSILON)

    def keep(self, index: Tensor) -> None:
        """Continue with some of the rows only, in the order of `index`."""
        for name in ("point", "steps", "first_moment", "second_moment"):
            setattr(self, name, getattr(self, name)[index])
