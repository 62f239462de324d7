"""L-BFGS's history: the last steps and gradient changes of a batch, and the inverse Hessian that they define.

The initial inverse Hessian is diagonal, with one value per band of coordinates: the size of the stored steps in the
band, divided by that of the gradient changes. The optimizer thereby learns which bands (fine chroma, broad luminance)
need long steps for this pair, where a single value for all would be that of the stiffest band.

The direction is computed from the compact form of the inverse Hessian (Byrd, Nocedal and Schnabel, 1994, theorem 2.2),
which equals the two-loop recursion and reads the history in a few large matrix products instead of forty small ones.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nst_core.optimizers.bands import Bands, Piece, total

LEAST_CURVATURE = 1e-10
"""Smallest s.y / (|s| |y|) of a stored pair."""

CHUNK = 1 << 16
"""Coordinates processed at once when all stored vectors are weighted; a full weighted copy would double their
memory."""


class History:
    """The last pairs (s, y) of every row: steps, and changes of the gradient.

    Args:
        rows: the number of rows of the batch.
        pairs: the number of pairs kept per row.
        bands: the bands of the coordinates.
        kept_as: the storage dtype: float32, or bfloat16, which halves the memory and captures the curvature nearly as
            well.
    """

    def __init__(self, rows: int, pairs: int, bands: Bands, kept_as: torch.dtype) -> None:
        device = bands.band_of_place.device
        self.pairs, self.bands = pairs, bands
        # A ring buffer: pair k of a row lies in slot k modulo `pairs`. Unused slots are zero in the products below.
        self.s = torch.zeros(rows, pairs, bands.size, dtype=kept_as, device=device)
        self.y = torch.zeros_like(self.s)
        # Inner products s_i.y_j of the stored pairs by slots, in float64 for the two small systems to be solved.
        self.sy = torch.zeros(rows, pairs, pairs, dtype=torch.float64, device=device)
        # Squared lengths of the stored pairs in each band, by slots.
        self.squares_of_s = torch.zeros(rows, pairs, bands.count, dtype=torch.float32, device=device)
        self.squares_of_y = torch.zeros_like(self.squares_of_s)
        self.stored = torch.zeros(rows, dtype=torch.int64, device=device)
        # The initial inverse Hessian, one value per band.
        self.diagonal = torch.ones(rows, bands.count, dtype=torch.float32, device=device)

    @property
    def is_empty(self) -> Tensor:
        """Whether each row's history is empty, shape (N,)."""
        return self.stored == 0

    def forget(self, rows: Tensor) -> None:
        """Discard the history of the rows that are true in (N,); their diagonal stays until the next pair is stored."""
        self.stored = torch.where(rows, 0, self.stored)

    def keep(self, index: Tensor) -> None:
        """Continue with some of the rows only, in the order of `index`."""
        for name in ("s", "y", "sy", "squares_of_s", "squares_of_y", "stored", "diagonal"):
            setattr(self, name, getattr(self, name)[index])

    def store(self, good: Tensor, change: Callable[[Piece], tuple[Tensor, Tensor]]) -> None:
        """Store a pair in every row that is true in (N,), unless the pair has too little curvature.

        Args:
            good: the rows whose step was accepted.
            change: returns the pair (s, y) of every row, each of shape (N, coordinates of the piece).
        """

        def as_stored(piece: Piece) -> tuple[Tensor, Tensor]:
            s, y = change(piece)
            return s.to(self.s.dtype).float(), y.to(self.y.dtype).float()

        products, squares_of_s, squares_of_y = [], [], []
        for piece in self.bands.pieces:
            s, y = as_stored(piece)
            products.append(torch.stack([(s * y).sum(dim=1), s.square().sum(dim=1), y.square().sum(dim=1)]))
            squares_of_s.append(self.bands.square_sums(s, piece))
            squares_of_y.append(self.bands.square_sums(y, piece))
        (sy, ss, yy), of_s, of_y = total(products), total(squares_of_s), total(squares_of_y)
        curved = good & (sy > LEAST_CURVATURE * (ss * yy).sqrt()) & (sy > 0)
        slots, rows = self.stored % self.pairs, torch.arange(len(sy), device=sy.device)
        column = curved[:, None]
        with_older = []
        for piece in self.bands.pieces:
            part, (s, y) = piece.of_row, as_stored(piece)
            for held, new in ((self.s, s), (self.y, y)):
                held[rows, slots, part] = torch.where(column, new, held[rows, slots, part]).to(held.dtype)
            with_older.append(_products(self.s[:, :, part], y))
        # Only products of a pair's y with older pairs' s are ever read, so that the new row of s.y is left unchanged.
        self.sy[rows, :, slots] = torch.where(column, total(with_older), self.sy[rows, :, slots])
        self.squares_of_s[rows, slots] = torch.where(column, of_s, self.squares_of_s[rows, slots])
        self.squares_of_y[rows, slots] = torch.where(column, of_y, self.squares_of_y[rows, slots])
        self.stored = self.stored + curved
        shape = self._shape()
        along_y = sy / (of_y * shape).sum(dim=1)
        self.diagonal = torch.where(column, along_y[:, None] * shape, self.diagonal)

    def _shape(self) -> Tensor:
        """Return steps over gradient changes in each band, as root mean squares over the stored pairs: (N, bands)."""
        used = torch.arange(self.pairs, device=self.stored.device) < self.stored[:, None]
        steps = (self.squares_of_s * used[:, :, None]).sum(dim=1)
        changes = (self.squares_of_y * used[:, :, None]).sum(dim=1)
        of_all = steps.sum(dim=1, keepdim=True) / changes.sum(dim=1, keepdim=True)
        return torch.where((steps > 0) & (changes > 0), steps / changes, of_all).sqrt()

    def direction(self, gradient: Tensor) -> Callable[[Piece], Tensor]:
        """Return a function that computes minus the inverse Hessian times the gradient, shape (N, n), piece by piece.

        With R the upper triangle of s.y by age, D its diagonal, E the initial (diagonal) inverse Hessian and H the one
        with history,  H g = E g + S u - E Y a,   a = R^-1 S'g,   u = R^-T ((D + Y'E Y) a - Y'E g).
        """
        # The next slot to be written holds the oldest pair, so that this order starts with the oldest.
        ages = torch.arange(self.pairs, device=self.stored.device)
        order = (self.stored[:, None] + ages) % self.pairs
        empty = ages < self.pairs - self.stored[:, None]
        yy_of, with_s_of, with_y_of = [], [], []
        for piece in self.bands.pieces:
            part, diagonal = piece.of_row, self.bands.spread(self.diagonal, piece)
            own, y = gradient[:, part], self.y[:, :, part]
            yy_of.append(_weighted_products(y, diagonal))
            with_s_of.append(_products(self.s[:, :, part], own))
            with_y_of.append(_products(y, diagonal * own))
        sy, yy = _reorder(self.sy, order), _reorder(total(yy_of), order)
        unused = empty[:, :, None] | empty[:, None, :]
        upper = sy.triu().masked_fill(unused, 0.0) + torch.diag_embed(empty.double())
        yy = yy.masked_fill(unused, 0.0)
        with_s = total(with_s_of).gather(1, order).masked_fill(empty, 0.0)
        with_y = total(with_y_of).gather(1, order).masked_fill(empty, 0.0)
        a = torch.linalg.solve_triangular(upper, with_s[:, :, None], upper=True)[:, :, 0]
        right = upper.diagonal(dim1=1, dim2=2) * a + (yy @ a[:, :, None])[:, :, 0] - with_y
        u = torch.linalg.solve_triangular(upper.mT, right[:, :, None], upper=False)[:, :, 0]
        u, a = (torch.zeros_like(one).scatter(1, order, one) for one in (u, a))

        def of_piece(piece: Piece) -> Tensor:
            part, diagonal = piece.of_row, self.bands.spread(self.diagonal, piece)
            scaled = diagonal * gradient[:, part]
            return -(scaled + _combine(u, self.s[:, :, part]) - diagonal * _combine(a, self.y[:, :, part]))

        return of_piece


def _products(vectors: Tensor, vector: Tensor) -> Tensor:
    """Return the inner products of vectors (N, m, n) with a vector (N, n), shape (N, m), float64."""
    return torch.bmm(vectors.float(), vector[:, :, None])[:, :, 0].double()


def _weighted_products(vectors: Tensor, weights: Tensor) -> Tensor:
    """Return the inner products of vectors (N, m, n) with each other, weighted by (N, n), shape (N, m, m), float64."""
    products = torch.zeros(*vectors.shape[:2], vectors.shape[1], dtype=torch.float64, device=vectors.device)
    for part, weight in zip(torch.split(vectors, CHUNK, dim=2), torch.split(weights, CHUNK, dim=1), strict=True):
        exact = part.float()
        products += torch.bmm(exact * weight[:, None], exact.mT).double()
    return products


def _combine(weights: Tensor, vectors: Tensor) -> Tensor:
    """Return the sums, shape (N, n), of vectors (N, m, n) weighted by (N, m)."""
    return torch.bmm(weights.float()[:, None], vectors.float())[:, 0]


def _reorder(matrices: Tensor, order: Tensor) -> Tensor:
    """Permute the rows and columns of matrices (N, m, m) by an order, shape (N, m)."""
    rows = matrices.gather(1, order[:, :, None].expand_as(matrices))
    return rows.gather(2, order[:, None, :].expand_as(matrices))
