"""L-BFGS over a batch: a quasi-Newton method with separate history, step length and step control for every row.

It follows Liu and Nocedal (1989) and Nocedal and Wright, algorithms 7.4 and 7.5, but without a line search: the unit
step is taken, and accepted or rejected by the single evaluation that it costs. Three departures keep every objective
from blowing up:

- a step that raises the value above the largest of the last few accepted ones (the non-monotone rule of Grippo,
  Lampariello and Lucidi, 1986), or that is not finite, is rejected and shortened by quadratic interpolation;
- the first step, along the gradient, changes the coordinates by `first_step` in root mean square, whatever the scale
  of the objective; after `RESTART_AFTER` consecutive rejections the history is dropped and the step restarts along
  the gradient, a tenth as long as the last time;
- a pair (s, y) of too little curvature is not stored.

Nothing depends on the scale of the objective: f and 1000 f take the same path. No step transfers a number from the
device, so that a GPU never waits for the host.
"""

from functools import partial

import torch
from torch import Tensor

from nst_core.machine.memory import HISTORY
from nst_core.optimizers.bands import Bands, Piece, one_band, total
from nst_core.optimizers.history import History

FIRST_STEP = 0.07
SUFFICIENT_DECREASE = 1e-4
REMEMBERED_VALUES = 3
NOISE = 1e-3
"""Relative rise of the value that is attributed to bf16 rounding."""
SHORTEST_CUT, LONGEST_CUT = 0.1, 0.5
RESTART_AFTER = 6


class LBFGS:
    """Minimises one function per row of `point`; rows never influence each other.

    Args:
        start: the first point, shape (N, n), float32.
        bands: groups of coordinates whose curvature is learned together; None puts all coordinates in one group.
        history: the number of pairs (s, y) kept per row.
        first_step: root mean square change of a row's coordinates in its first step.
        noise: relative rise of the value that is accepted as rounding.
        kept_as: the history's dtype: float32, or bfloat16, which halves the memory and captures the curvature nearly as
            well.

    Attributes:
        point: the next point to evaluate, shape (N, n); updated in place.
        steps: the number of accepted steps per row, shape (N,).
        rejected: the number of consecutive rejected steps per row, shape (N,); 0 after an accepted one.
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
        self.history = History(rows, history, self.bands, kept_as)
        self.first_step, self.noise = first_step, noise
        self.point = start.clone()
        self.steps = torch.zeros(rows, dtype=torch.int64, device=start.device)
        self.rejected = torch.zeros_like(self.steps)
        self.accepted = start.clone()
        self.gradient = torch.zeros_like(start)
        self.direction = torch.zeros_like(start)
        self.length = torch.zeros(rows, dtype=torch.float32, device=start.device)
        self.values = torch.full((rows, REMEMBERED_VALUES), -torch.inf, dtype=torch.float32, device=start.device)
        self._started = False

    def tell(self, values: Tensor, gradients: Tensor) -> None:
        """Receive values, shape (N,), and gradients, shape (N, n), at `point`; accept or reject it; move `point`."""
        if not self._started:
            self._started = True
            self._accept(torch.ones_like(values, dtype=torch.bool), values, gradients)
        else:
            good = self._acceptable(values, gradients)
            self.history.store(good, partial(self._change, gradients))
            self._accept(good, values, gradients)
            self.steps += good
            self._shorten(~good, values)
        for part in self._parts:
            torch.add(self.accepted[:, part], self.length[:, None] * self.direction[:, part], out=self.point[:, part])

    def keep(self, index: Tensor) -> None:
        """Continue with some of the rows only, in the order of `index`."""
        self.history.keep(index)
        for name in ("point", "steps", "rejected", "accepted", "gradient", "direction", "length", "values"):
            setattr(self, name, getattr(self, name)[index])

    @property
    def _parts(self) -> list[slice]:
        """The slices of every row that are processed one after the other."""
        return [piece.of_row for piece in self.bands.pieces]

    def _slope(self) -> Tensor:
        """Return the directional derivative along the search direction, shape (N,)."""
        return total((self.gradient[:, part] * self.direction[:, part]).sum(dim=1) for part in self._parts)

    def _acceptable(self, values: Tensor, gradients: Tensor) -> Tensor:
        highest = self.values.max(dim=1).values
        allowed = highest + SUFFICIENT_DECREASE * self.length * self._slope() + self.noise * highest.abs()
        finite = torch.isfinite(values)
        for part in self._parts:
            finite = finite & torch.isfinite(gradients[:, part]).all(dim=1)
        return finite & (values <= allowed)

    def _change(self, gradients: Tensor, piece: Piece) -> tuple[Tensor, Tensor]:
        """Return the last step s and the gradient change y."""
        part = piece.of_row
        return self.point[:, part] - self.accepted[:, part], gradients[:, part] - self.gradient[:, part]

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
        """Set a new direction for some rows: quasi-Newton, or without history the gradient scaled to `first_step`."""
        steepest, fresh = self._first_step(), self.history.is_empty
        newton = self.history.direction(self.gradient)
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
        """Return the factor that scales the gradient to a first step, shape (N, 1)."""
        squares = total(self.gradient[:, part].square().mean(dim=1) * self._share(part) for part in self._parts)
        return self.first_step / squares[:, None].sqrt().clamp_min(torch.finfo(torch.float32).tiny)

    def _share(self, part: slice) -> float:
        """Return a slice's share of all coordinates."""
        size = self.gradient.shape[1]
        return len(range(*part.indices(size))) / size

    def _shorten(self, bad: Tensor, values: Tensor) -> None:
        slope = self._slope()
        latest = self.values[:, -1]
        excess = values - latest - self.length * slope
        cut = -0.5 * self.length * slope / excess
        cut = torch.where(torch.isfinite(cut) & (excess > 0), cut, SHORTEST_CUT).clamp(SHORTEST_CUT, LONGEST_CUT)
        self.rejected = self.rejected + bad
        self.length = torch.where(bad, self.length * cut, self.length)
        restart = bad & (self.rejected % RESTART_AFTER == 0)
        self.history.forget(restart)
        # Each consecutive restart begins with a step ten times shorter than the one before.
        shrink = 0.1 ** (self.rejected // RESTART_AFTER).float()
        steepest = self._first_step()
        for part in self._parts:
            shortened = -self.gradient[:, part] * steepest * shrink[:, None]
            _replace(self.direction[:, part], restart[:, None], shortened)
        self.length = torch.where(restart, 1.0, self.length)


def _replace(target: Tensor, rows: Tensor, by: Tensor) -> None:
    """Overwrite in place the rows of `target`, shape (N, n), where `rows`, shape (N, 1), is true."""
    torch.where(rows, by, target, out=target)
