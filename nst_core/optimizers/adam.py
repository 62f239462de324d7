"""Adam: Kingma and Ba (1412.6980), algorithm 1. Elementwise, so that rows of a batch never influence each other."""

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Minimises one function per row of `point`.

    Args:
        start: shape (N, n), float32.
        learning_rate: in units of the coordinates.

    Attributes:
        point: where to evaluate next, shape (N, n).
        steps: steps per row, shape (N,).
    """

    def __init__(self, start: Tensor, *, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.point = start.clone()
        self.steps = torch.full((start.shape[0],), -1, dtype=torch.int64, device=start.device)
        self.first_moment = torch.zeros_like(start)
        self.second_moment = torch.zeros_like(start)
        self._told = 0

    def tell(self, values: Tensor, gradients: Tensor) -> None:  # noqa: ARG002  # every optimizer is told alike
        """Take the gradients, shape (N, n), at `point`, and move `point`. Values are not used."""
        self._told += 1
        self.steps += 1  # the first evaluation is of the start: no step led there
        first, second = BETAS
        self.first_moment.lerp_(gradients, 1.0 - first)
        self.second_moment.mul_(second).addcmul_(gradients, gradients, value=1.0 - second)
        corrected = (self.second_moment / (1.0 - second**self._told)).sqrt()
        rate = self.learning_rate / (1.0 - first**self._told)
        self.point = self.point - rate * self.first_moment / (corrected + EPSILON)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the rows only, in the order of `index`."""
        for name in ("point", "steps", "first_moment", "second_moment"):
            setattr(self, name, getattr(self, name)[index])
