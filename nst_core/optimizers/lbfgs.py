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

Where the history ends the inverse Hessian is taken to be diagonal, with one value per band of coordinates: how far the
stored steps went there, over how much the gradient changed. So the optimizer learns which bands (fine colour, broad
light and shade) want long steps for this pair, where one value for all would be that of the stiffest.

The direction comes from the compact form of the inverse Hessian (Byrd, Nocedal and Schnabel, 1994, theorem 2.2), which
equals the two-loop recursion and reads the history in a few large matrix products instead of forty small ones. No step
asks the device for a number, so that a GPU never waits for the host.
"""

import torch
from torch import Tensor

from nst_core.memory import HISTORY
from nst_core.optimizers.bands import Bands, one_band

FIRST_STEP = 0.07
SUFFICIENT_DECREASE = 1e-4
REMEMBERED_VALUES = 3
NOISE = 1e-3
"""Relative rise of the value that is put down to rounding in bf16."""
SHORTEST_CUT, LONGEST_CUT = 0.1, 0.5
LEAST_CURVATURE = 1e-10
"""Smallest s.y / (|s| |y|) of a stored pair."""
RESTART_AFTER = 6
CHUNK = 1 << 16
"""Coordinates at once where all stored vectors are weighted: a copy of them all would double what they take."""


class LBFGS:
    """Minimises one function per row of `point`; rows never influence each other.

    Args:
        start: shape (N, n), float32.
        bands: groups of coordinates whose curvature is learned; all alike if None.
        history: pairs (s, y) kept per row.
        first_step: root mean square change of a row's coordinates in its first step.
        noise: relative rise of the value that is accepted as rounding.

    Attributes:
        point: where to evaluate next, shape (N, n).
        steps: accepted steps per row, shape (N,).
        rejected: steps taken back in a row, per row, shape (N,); 0 after an accepted one.
    """

    def __init__(
        self,
        start: Tensor,
        bands: Bands | None = None,
        *,
        history: int = HISTORY,
        first_step: float = FIRST_STEP,
        noise: float = NOISE,
    ) -> None:
        rows, size = start.shape
        self.bands = one_band(size, start.device) if bands is None else bands
        self.history, self.first_step, self.noise = history, first_step, noise
        self.point = start.clone()
        self.steps = torch.zeros(rows, dtype=torch.int64, device=start.device)
        self.rejected = torch.zeros_like(self.steps)
        self.accepted = start.clone()
        self.gradient = torch.zeros_like(start)
        self.direction = torch.zeros_like(start)
        self.length = torch.zeros(rows, device=start.device)
        self.values = torch.full((rows, REMEMBERED_VALUES), -torch.inf, device=start.device)
        # Pair k of a row lies in slot k modulo `history`. Slots that are not in use hold zeros in the products below.
        self.s = torch.zeros(rows, history, size, device=start.device)
        self.y = torch.zeros_like(self.s)
        # Inner products s_i.y_j of the stored pairs, by slots, in float64: two small systems are solved.
        self.sy = torch.zeros(rows, history, history, dtype=torch.float64, device=start.device)
        # Squared lengths of the stored pairs in each band, by slots.
        self.squares_of_s = torch.zeros(rows, history, self.bands.count, device=start.device)
        self.squares_of_y = torch.zeros_like(self.squares_of_s)
        self.stored = torch.zeros_like(self.steps)
        # The inverse Hessian without history, one value per band.
        self.diagonal = torch.ones(rows, self.bands.count, device=start.device)
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
            "diagonal",
            "s",
            "y",
            "sy",
            "squares_of_s",
            "squares_of_y",
        ):
            setattr(self, name, getattr(self, name)[index])

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
        slots, rows = self.stored % self.history, torch.arange(len(sy), device=sy.device)
        column = curved[:, None]
        self.s[rows, slots] = torch.where(column, s, self.s[rows, slots])
        self.y[rows, slots] = torch.where(column, y, self.y[rows, slots])
        # Only products of a pair with older ones are ever read, so the new row of s.y stays as it is.
        self.sy[rows, :, slots] = torch.where(column, _products(self.s, y), self.sy[rows, :, slots])
        of_s, of_y = self.bands.square_sums(s), self.bands.square_sums(y)
        self.squares_of_s[rows, slots] = torch.where(column, of_s, self.squares_of_s[rows, slots])
        self.squares_of_y[rows, slots] = torch.where(column, of_y, self.squares_of_y[rows, slots])
        self.stored = self.stored + curved
        shape = self._shape()
        along_y = sy / (of_y * shape).sum(dim=1)
        self.diagonal = torch.where(column, along_y[:, None] * shape, self.diagonal)

    def _shape(self) -> Tensor:
        """Steps over changes of the gradient in each band, root mean squares of the stored pairs, shape (N, bands)."""
        used = torch.arange(self.history, device=self.stored.device) < self.stored[:, None]
        steps = (self.squares_of_s * used[:, :, None]).sum(dim=1)
        changes = (self.squares_of_y * used[:, :, None]).sum(dim=1)
        of_all = steps.sum(dim=1, keepdim=True) / changes.sum(dim=1, keepdim=True)
        return torch.where((steps > 0) & (changes > 0), steps / changes, of_all).sqrt()

    def _accept(self, good: Tensor, values: Tensor, gradients: Tensor) -> None:
        column = good[:, None]
        self.accepted = torch.where(column, self.point, self.accepted)
        self.gradient = torch.where(column, gradients, self.gradient)
        shifted = torch.cat([self.values[:, 1:], values[:, None]], dim=1)
        self.values = torch.where(column, shifted, self.values)
        self.rejected = torch.where(good, 0, self.rejected)
        self._aim(good)

    def _aim(self, rows: Tensor) -> None:
        """A new direction for some rows: quasi-Newton, or the gradient scaled to `first_step` without history."""
        steepest = self._first_step()
        fresh = self.stored == 0
        newton = torch.where(fresh[:, None], steepest, self._quasi_newton())
        downhill = (newton * self.gradient).sum(dim=1) < 0
        direction = torch.where(downhill[:, None], newton, steepest)
        self.direction = torch.where(rows[:, None], direction, self.direction)
        self.length = torch.where(rows, 1.0, self.length)

    def _first_step(self) -> Tensor:
        root_mean_square = self.gradient.square().mean(dim=1, keepdim=True).sqrt()
        return -self.gradient * (self.first_step / root_mean_square.clamp_min(torch.finfo(torch.float32).tiny))

    def _quasi_newton(self) -> Tensor:
        """Minus the inverse Hessian times the gradient.

        With R the upper triangle of s.y by age, D its diagonal, E the inverse Hessian without history (diagonal) and H
        with it,  H g = E g + S u - E Y a,   a = R^-1 S'g,   u = R^-T ((D + Y'E Y) a - Y'E g).
        """
        # The next slot to be written is that of the oldest pair, so this puts the oldest first.
        ages = torch.arange(self.history, device=self.stored.device)
        order = (self.stored[:, None] + ages) % self.history
        empty = ages < self.history - self.stored[:, None]
        diagonal = self.bands.spread(self.diagonal)
        sy, yy = _reorder(self.sy, order), _reorder(_weighted_products(self.y, diagonal), order)
        unused = empty[:, :, None] | empty[:, None, :]
        upper = sy.triu().masked_fill(unused, 0.0) + torch.diag_embed(empty.double())
        yy = yy.masked_fill(unused, 0.0)
        scaled = diagonal * self.gradient
        with_s = _products(self.s, self.gradient).gather(1, order).masked_fill(empty, 0.0)
        with_y = _products(self.y, scaled).gather(1, order).masked_fill(empty, 0.0)
        a = torch.linalg.solve_triangular(upper, with_s[:, :, None], upper=True)[:, :, 0]
        right = upper.diagonal(dim1=1, dim2=2) * a + (yy @ a[:, :, None])[:, :, 0] - with_y
        u = torch.linalg.solve_triangular(upper.mT, right[:, :, None], upper=False)[:, :, 0]
        u, a = (torch.zeros_like(one).scatter(1, order, one) for one in (u, a))
        return -(scaled + _combine(u, self.s) - diagonal * _combine(a, self.y))

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
        # Each restart in a row begins ten times shorter than the one before.
        shrink = 0.1 ** (self.rejected // RESTART_AFTER)
        self.direction = torch.where(restart[:, None], self._first_step() * shrink[:, None], self.direction)
        self.length = torch.where(restart, 1.0, self.length)


def _products(vectors: Tensor, vector: Tensor) -> Tensor:
    """Inner products of (N, m, n) with (N, n), shape (N, m), float64."""
    return torch.bmm(vectors, vector[:, :, None])[:, :, 0].double()


def _weighted_products(vectors: Tensor, weights: Tensor) -> Tensor:
    """Inner products of (N, m, n) among themselves, coordinates weighted by (N, n), shape (N, m, m), float64."""
    products = torch.zeros(*vectors.shape[:2], vectors.shape[1], dtype=torch.float64, device=vectors.device)
    for part, weight in zip(torch.split(vectors, CHUNK, dim=2), torch.split(weights, CHUNK, dim=1), strict=True):
        products += torch.bmm(part * weight[:, None], part.mT).double()
    return products


def _combine(weights: Tensor, vectors: Tensor) -> Tensor:
    """Weighted sums, shape (N, n), of (N, m, n) with weights (N, m)."""
    return torch.bmm(weights.float()[:, None], vectors)[:, 0]


def _reorder(matrices: Tensor, order: Tensor) -> Tensor:
    """Rows and columns of (N, m, m) in an order, shape (N, m)."""
    rows = matrices.gather(1, order[:, :, None].expand_as(matrices))
    return rows.gather(2, order[:, None, :].expand_as(matrices))
