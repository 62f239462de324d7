"""L-BFGS over a batch: every row with its own history, step length and step control.

Liu and Nocedal (1989), Nocedal and Wright, algorithms 7.4 and 7.5, without a line search: the unit step is taken and
judged by the one evaluation it costs. Three departures, each there so that no objective ever blows up:

- a step that raises the value above the largest of the last few accepted ones (the non-monotone rule of Grippo,
  Lampariello and Lucidi, 1986), or that is not finite, is taken back and shortened by quadratic interpolation;
- the first step, along the gradient, changes the coordinates by `first_step` in root mean square, whatever the scale
  of the objective; after `RESTART_AFTER` shortenings in a row the history is dropped and the step begins anew along
  the gradient, a tenth as long as the last time;
- a pair (s, y) of too little curvature is not stored.

Nothing depends on the scale of the objective: f and 1000 f take the same path.
"""

import torch
from torch import Tensor

HISTORY = 20
FIRST_STEP = 0.02
SUFFICIENT_DECREASE = 1e-4
REMEMBERED_VALUES = 3
NOISE = 1e-3
"""Relative rise of the value that is put down to rounding in bf16."""
SHORTEST_CUT, LONGEST_CUT = 0.1, 0.5
LEAST_CURVATURE = 1e-10
"""Smallest s.y / (|s| |y|) of a stored pair."""
RESTART_AFTER = 6


class LBFGS:
    """Minimises one function per row of `point`; rows never influence each other.

    Args:
        start: shape (N, n), float32.
        history: pairs (s, y) kept per row.
        first_step: root mean square change of a row's coordinates in its first step.
        noise: relative rise of the value that is accepted as rounding.

    Attributes:
        point: where to evaluate next, shape (N, n).
        steps: accepted steps per row, shape (N,).
        rejected: steps taken back in a row, per row, shape (N,); 0 after an accepted one.
    """

    def __init__(
        self, start: Tensor, *, history: int = HISTORY, first_step: float = FIRST_STEP, noise: float = NOISE
    ) -> None:
        rows, size = start.shape
        self.history, self.first_step, self.noise = history, first_step, noise
        self.point = start.clone()
        self.steps = torch.zeros(rows, dtype=torch.int64, device=start.device)
        self.rejected = torch.zeros_like(self.steps)
        self.accepted = start.clone()
        self.gradient = torch.zeros_like(start)
        self.direction = torch.zeros_like(start)
        self.length = torch.zeros(rows, device=start.device)
        self.values = torch.full((rows, REMEMBERED_VALUES), -torch.inf, device=start.device)
        # Pair k of a row lies in slot k modulo `history`; 1/(s.y) of 0 marks an empty slot.
        self.s = torch.zeros(history, rows, size, device=start.device)
        self.y = torch.zeros_like(self.s)
        self.inverse_sy = torch.zeros(history, rows, device=start.device)
        self.stored = torch.zeros_like(self.steps)
        self.gamma = torch.ones(rows, device=start.device)
        self._started = False

    def tell(self, values: Tensor, gradients: Tensor) -> None:
        """Take the values, shape (N,), and gradients, shape (N, n), at `point`; accept or take back; move `point`."""
        if not self._started:
            self._started = True
            self._accept(torch.ones_like(values, dtype=torch.bool), values, gradients)
        else:
            good = self._acceptable(values, gradients)
            self._store(good, gradients)
            self._accept(good, values, gradients)
            self.steps += good
            self._shorten(~good, values)
        self.point = self.accepted + self.length[:, None] * self.direction

    def keep(self, index: Tensor) -> None:
        """Go on with some of the rows only, in the order of `index`."""
        for name in (
            "point",
            "steps",
            "rejected",
            "accepted",
            "gradient",
            "direction",
            "length",
            "values",
            "stored",
            "gamma",
        ):
            setattr(self, name, getattr(self, name)[index])
        for name in ("s", "y", "inverse_sy"):
            setattr(self, name, getattr(self, name)[:, index])

    def _acceptable(self, values: Tensor, gradients: Tensor) -> Tensor:
        slope = (self.gradient * self.direction).sum(dim=1)
        highest = self.values.max(dim=1).values
        allowed = highest + SUFFICIENT_DECREASE * self.length * slope + self.noise * highest.abs()
        finite = torch.isfinite(values) & torch.isfinite(gradients).all(dim=1)
        return finite & (values <= allowed)

    def _store(self, good: Tensor, gradients: Tensor) -> None:
        s = self.point - self.accepted
        y = gradients - self.gradient
        sy, ss, yy = (s * y).sum(dim=1), s.square().sum(dim=1), y.square().sum(dim=1)
        curved = good & (sy > LEAST_CURVATURE * (ss * yy).sqrt()) & (sy > 0)
        rows = curved.nonzero()[:, 0]
        slots = self.stored[rows] % self.history
        self.s[slots, rows], self.y[slots, rows] = s[rows], y[rows]
        self.inverse_sy[slots, rows] = 1.0 / sy[rows]
        self.gamma[rows] = sy[rows] / yy[rows]
        self.stored[rows] += 1

    def _accept(self, good: Tensor, values: Tensor, gradients: Tensor) -> None:
        column = good[:, None]
        self.accepted = torch.where(column, self.point, self.accepted)
        self.gradient = torch.where(column, gradients, self.gradient)
        shifted = torch.cat([self.values[:, 1:], values[:, None]], dim=1)
        self.values = torch.where(column, shifted, self.values)
        self.rejected = torch.where(good, 0, self.rejected)
        self._aim(good)

    def _aim(self, rows: Tensor) -> None:
        """A new direction for some rows: two-loop recursion, or the gradient scaled to `first_step` without history."""
        steepest = self._first_step()
        fresh = self.stored == 0
        newton = torch.where(fresh[:, None], steepest, self._two_loops())
        downhill = (newton * self.gradient).sum(dim=1) < 0
        direction = torch.where(downhill[:, None], newton, steepest)
        self.direction = torch.where(rows[:, None], direction, self.direction)
        self.length = torch.where(rows, 1.0, self.length)

    def _first_step(self) -> Tensor:
        root_mean_square = self.gradient.square().mean(dim=1, keepdim=True).sqrt()
        return -self.gradient * (self.first_step / root_mean_square.clamp_min(torch.finfo(torch.float32).tiny))

    def _two_loops(self) -> Tensor:
        rows = torch.arange(len(self.stored), device=self.stored.device)
        newest = int(self.stored.max().clamp(max=self.history))
        q = -self.gradient
        slots, alphas = [], []
        for age in range(1, newest + 1):
            # A row with fewer pairs reads slots that are still empty: their 1/(s.y) of 0 leaves q as it is.
            slot = (self.stored - age) % self.history
            alpha = self.inverse_sy[slot, rows] * (self.s[slot, rows] * q).sum(dim=1)
            q = q - alpha[:, None] * self.y[slot, rows]
            slots.append(slot)
            alphas.append(alpha)
        q = q * self.gamma[:, None]
        for slot, alpha in zip(reversed(slots), reversed(alphas), strict=True):
            beta = self.inverse_sy[slot, rows] * (self.y[slot, rows] * q).sum(dim=1)
            q = q + (alpha - beta)[:, None] * self.s[slot, rows]
        return q

    def _shorten(self, bad: Tensor, values: Tensor) -> None:
        slope = (self.gradient * self.direction).sum(dim=1)
        latest = self.values[:, -1]
        excess = values - latest - self.length * slope
        cut = -0.5 * self.length * slope / excess
        cut = torch.where(torch.isfinite(cut) & (excess > 0), cut, SHORTEST_CUT).clamp(SHORTEST_CUT, LONGEST_CUT)
        self.rejected = self.rejected + bad
        self.length = torch.where(bad, self.length * cut, self.length)
        restart = bad & (self.rejected % RESTART_AFTER == 0)
        self.stored = torch.where(restart, 0, self.stored)
        self.inverse_sy = torch.where(restart[None], 0.0, self.inverse_sy)
        # Each restart in a row begins ten times shorter than the one before.
        shrink = 0.1 ** (self.rejected // RESTART_AFTER)
        self.direction = torch.where(restart[:, None], self._first_step() * shrink[:, None], self.direction)
        self.length = torch.where(restart, 1.0, self.length)
