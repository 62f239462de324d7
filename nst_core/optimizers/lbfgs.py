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

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from nst_core.machine.memory import HISTORY
from nst_core.optimizers.bands import Bands, Piece, one_band

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
        kept_as: float32, or bfloat16, in which the history takes half as much and tells the curvature nearly as well.

    Attributes:
        point: where to evaluate next, shape (N, n); moved in place.
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
        kept_as: torch.dtype = torch.float32,
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
        self.length = torch.zeros(rows, dtype=torch.float32, device=start.device)
        self.values = torch.full((rows, REMEMBERED_VALUES), -torch.inf, dtype=torch.float32, device=start.device)
        # Pair k of a row lies in slot k modulo `history`. Slots that are not in use hold zeros in the products below.
        self.s = torch.zeros(rows, history, size, dtype=kept_as, device=start.device)
        self.y = torch.zeros_like(self.s)
        # Inner products s_i.y_j of the stored pairs, by slots, in float64: two small systems are solved.
        self.sy = torch.zeros(rows, history, history, dtype=torch.float64, device=start.device)
        # Squared lengths of the stored pairs in each band, by slots.
        self.squares_of_s = torch.zeros(rows, history, self.bands.count, dtype=torch.float32, device=start.device)
        self.squares_of_y = torch.zeros_like(self.squares_of_s)
        self.stored = torch.zeros_like(self.steps)
        # The inverse Hessian without history, one value per band.
        self.diagonal = torch.ones(rows, self.bands.count, dtype=torch.float32, device=start.device)
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
        for part in self._parts:
            torch.add(self.accepted[:, part], self.length[:, None] * self.direction[:, part], out=self.point[:, part])

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

    @property
    def _parts(self) -> list[slice]:
        """Of every row of coordinates, worked on one after the other."""
        return [piece.of_row for piece in self.bands.pieces]

    def _slope(self) -> Tensor:
        """Along the direction, shape (N,)."""
        return _total((self.gradient[:, part] * self.direction[:, part]).sum(dim=1) for part in self._parts)

    def _acceptable(self, values: Tensor, gradients: Tensor) -> Tensor:
        highest = self.values.max(dim=1).values
        allowed = highest + SUFFICIENT_DECREASE * self.length * self._slope() + self.noise * highest.abs()
        finite = torch.isfinite(values)
        for part in self._parts:
            finite = finite & torch.isfinite(gradients[:, part]).all(dim=1)
        return finite & (values <= allowed)

    def _change(self, piece: Piece, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The last step and what it changed of the gradient, s and y, as they will be kept."""
        part = piece.of_row
        s, y = self.point[:, part] - self.accepted[:, part], gradients[:, part] - self.gradient[:, part]
        return s.to(self.s.dtype).float(), y.to(self.y.dtype).float()

    def _store(self, good: Tensor, gradients: Tensor) -> None:
        products, squares_of_s, squares_of_y = [], [], []
        for piece in self.bands.pieces:
            s, y = self._change(piece, gradients)
            products.append(torch.stack([(s * y).sum(dim=1), s.square().sum(dim=1), y.square().sum(dim=1)]))
            squares_of_s.append(self.bands.square_sums(s, piece))
            squares_of_y.append(self.bands.square_sums(y, piece))
        (sy, ss, yy), of_s, of_y = _total(products), _total(squares_of_s), _total(squares_of_y)
        curved = good & (sy > LEAST_CURVATURE * (ss * yy).sqrt()) & (sy > 0)
        slots, rows = self.stored % self.history, torch.arange(len(sy), device=sy.device)
        column = curved[:, None]
        with_older = []
        for piece in self.bands.pieces:
            part, (s, y) = piece.of_row, self._change(piece, gradients)
            for kept, new in ((self.s, s), (self.y, y)):
                kept[rows, slots, part] = torch.where(column, new, kept[rows, slots, part]).to(kept.dtype)
            with_older.append(_products(self.s[:, :, part], y))
        # Only products of a pair with older ones are ever read, so the new row of s.y stays as it is.
        self.sy[rows, :, slots] = torch.where(column, _total(with_older), self.sy[rows, :, slots])
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
        for part in self._parts:
            _replace(self.accepted[:, part], column, self.point[:, part])
            _replace(self.gradient[:, part], column, gradients[:, part])
        shifted = torch.cat([self.values[:, 1:], values[:, None]], dim=1)
        self.values = torch.where(column, shifted, self.values)
        self.rejected = torch.where(good, 0, self.rejected)
        self._aim(good)

    def _aim(self, rows: Tensor) -> None:
        """A new direction for some rows: quasi-Newton, or the gradient scaled to `first_step` without history."""
        steepest, fresh = self._first_step(), self.stored == 0
        newton = self._quasi_newton()
        for piece in self.bands.pieces:
            part = piece.of_row
            along_gradient = -self.gradient[:, part] * steepest
            aimed = torch.where(fresh[:, None], along_gradient, newton(piece))
            _replace(self.direction[:, part], rows[:, None], aimed)
        uphill = rows & ~(self._slope() < 0)
        for part in self._parts:
            _replace(self.direction[:, part], uphill[:, None], -self.gradient[:, part] * steepest)
        self.length = torch.where(rows, 1.0, self.length)

    def _first_step(self) -> Tensor:
        """What the gradient is scaled by, shape (N, 1)."""
        squares = _total(self.gradient[:, part].square().mean(dim=1) * self._share(part) for part in self._parts)
        return self.first_step / squares[:, None].sqrt().clamp_min(torch.finfo(torch.float32).tiny)

    def _share(self, part: slice) -> float:
        """Of all coordinates."""
        size = self.gradient.shape[1]
        return len(range(*part.indices(size))) / size

    def _quasi_newton(self) -> Callable[[Piece], Tensor]:
        """Minus the inverse Hessian times the gradient, piece by piece.

        With R the upper triangle of s.y by age, D its diagonal, E the inverse Hessian without history (diagonal) and H
        with it,  H g = E g + S u - E Y a,   a = R^-1 S'g,   u = R^-T ((D + Y'E Y) a - Y'E g).
        """
        # The next slot to be written is that of the oldest pair, so this puts the oldest first.
        ages = torch.arange(self.history, device=self.stored.device)
        order = (self.stored[:, None] + ages) % self.history
        empty = ages < self.history - self.stored[:, None]
        yy_of, with_s_of, with_y_of = [], [], []
        for piece in self.bands.pieces:
            part, diagonal = piece.of_row, self.bands.spread(self.diagonal, piece)
            gradient, y = self.gradient[:, part], self.y[:, :, part]
            yy_of.append(_weighted_products(y, diagonal))
            with_s_of.append(_products(self.s[:, :, part], gradient))
            with_y_of.append(_products(y, diagonal * gradient))
        sy, yy = _reorder(self.sy, order), _reorder(_total(yy_of), order)
        unused = empty[:, :, None] | empty[:, None, :]
        upper = sy.triu().masked_fill(unused, 0.0) + torch.diag_embed(empty.double())
        yy = yy.masked_fill(unused, 0.0)
        with_s = _total(with_s_of).gather(1, order).masked_fill(empty, 0.0)
        with_y = _total(with_y_of).gather(1, order).masked_fill(empty, 0.0)
        a = torch.linalg.solve_triangular(upper, with_s[:, :, None], upper=True)[:, :, 0]
        right = upper.diagonal(dim1=1, dim2=2) * a + (yy @ a[:, :, None])[:, :, 0] - with_y
        u = torch.linalg.solve_triangular(upper.mT, right[:, :, None], upper=False)[:, :, 0]
        u, a = (torch.zeros_like(one).scatter(1, order, one) for one in (u, a))

        def direction(piece: Piece) -> Tensor:
            part, diagonal = piece.of_row, self.bands.spread(self.diagonal, piece)
            scaled = diagonal * self.gradient[:, part]
            return -(scaled + _combine(u, self.s[:, :, part]) - diagonal * _combine(a, self.y[:, :, part]))

        return direction

    def _shorten(self, bad: Tensor, values: Tensor) -> None:
        slope = self._slope()
        latest = self.values[:, -1]
        excess = values - latest - self.length * slope
        cut = -0.5 * self.length * slope / excess
        cut = torch.where(torch.isfinite(cut) & (excess > 0), cut, SHORTEST_CUT).clamp(SHORTEST_CUT, LONGEST_CUT)
        self.rejected = self.rejected + bad
        self.length = torch.where(bad, self.length * cut, self.length)
        restart = bad & (self.rejected % RESTART_AFTER == 0)
        self.stored = torch.where(restart, 0, self.stored)
        # Each restart in a row begins ten times shorter than the one before.
        shrink = 0.1 ** (self.rejected // RESTART_AFTER).float()
        steepest = self._first_step()
        for part in self._parts:
            shortened = -self.gradient[:, part] * steepest * shrink[:, None]
            _replace(self.direction[:, part], restart[:, None], shortened)
        self.length = torch.where(restart, 1.0, self.length)


def _total(parts: Iterable[Tensor]) -> Tensor:
    """The sum over pieces."""
    return functools.reduce(torch.add, parts)


def _replace(target: Tensor, rows: Tensor, by: Tensor) -> None:
    """Some rows of (N, n), those that are true in (N, 1), in place."""
    torch.where(rows, by, target, out=target)


def _products(vectors: Tensor, vector: Tensor) -> Tensor:
    """Inner products of (N, m, n) with (N, n), shape (N, m), float64."""
    return torch.bmm(vectors.float(), vector[:, :, None])[:, :, 0].double()


def _weighted_products(vectors: Tensor, weights: Tensor) -> Tensor:
    """Inner products of (N, m, n) among themselves, coordinates weighted by (N, n), shape (N, m, m), float64."""
    products = torch.zeros(*vectors.shape[:2], vectors.shape[1], dtype=torch.float64, device=vectors.device)
    for part, weight in zip(torch.split(vectors, CHUNK, dim=2), torch.split(weights, CHUNK, dim=1), strict=True):
        exact = part.float()
        products += torch.bmm(exact * weight[:, None], exact.mT).double()
    return products


def _combine(weights: Tensor, vectors: Tensor) -> Tensor:
    """Weighted sums, shape (N, n), of (N, m, n) with weights (N, m)."""
    return torch.bmm(weights.float()[:, None], vectors.float())[:, 0]


def _reorder(matrices: Tensor, order: Tensor) -> Tensor:
    """Rows and columns of (N, m, m) in an order, shape (N, m)."""
    rows = matrices.gather(1, order[:, :, None].expand_as(matrices))
    return rows.gather(2, order[:, None, :].expand_as(matrices))
