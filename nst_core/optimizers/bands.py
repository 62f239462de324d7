"""Groups of coordinates that an optimizer scales alike, because what is known of their curvature is known together."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

WHOLE_UP_TO = 1 << 24
"""Coordinates that are worked on in one piece: those of a picture of 2048 x 2048 px and somewhat more."""

PIECE = 1 << 22
"""Coordinates at a time beyond that: what is made on the way is then small beside the picture."""


@dataclass(frozen=True)
class Piece:
    """A part of every row of coordinates.

    Attributes:
        of_row: its coordinates.
        plane: that it lies in; None is the whole row.
        places: its places in that plane.
    """

    of_row: slice
    plane: int | None
    places: slice


class Bands:
    """A row of coordinates, laid out as (planes, places, parts), in one band per plane and group of places.

    Args:
        band_of_place: band of each place, shape (places,), of integers.
        bands: in a plane, counted from 0; some may be empty.
        planes: times that the places follow one another.
        parts: coordinates of one place, which lie side by side.
    """

    def __init__(self, band_of_place: Tensor, bands: int, *, planes: int = 1, parts: int = 1) -> None:
        # Of a large picture eight bytes per place would be a third of the picture.
        self.band_of_place = band_of_place.to(torch.uint8) if bands <= 256 else band_of_place
        self.planes, self.parts, self.bands, self.count = planes, parts, bands, planes * bands
        self.size = planes * band_of_place.numel() * parts
        self.pieces = tuple(_pieces(band_of_place.numel(), planes, parts))
        self._membership = self._members(slice(None)) if len(self.pieces) == 1 else None

    def square_sums(self, vectors: Tensor, piece: Piece | None = None) -> Tensor:
        """Squared length of each vector of (N, n) in each band, shape (N, count); of a piece's coordinates alone."""
        if piece is None or piece.plane is None:
            squares = vectors.view(vectors.shape[0], self.planes, -1, self.parts).square().sum(dim=3)
            members = self._members(slice(None)) if self._membership is None else self._membership
            return (squares @ members).flatten(1)
        squares = vectors.view(vectors.shape[0], -1, self.parts).square().sum(dim=2)
        sums = vectors.new_zeros(vectors.shape[0], self.count)
        sums[:, piece.plane * self.bands : (piece.plane + 1) * self.bands] = squares @ self._members(piece.places)
        return sums

    def spread(self, values: Tensor, piece: Piece | None = None) -> Tensor:
        """A value per band, shape (N, count), at every coordinate of the band, shape (N, n); or of a piece."""
        by_plane = values.view(values.shape[0], self.planes, -1)
        if piece is None or piece.plane is None:
            places = by_plane[:, :, self.band_of_place.int()]
        else:
            places = by_plane[:, piece.plane, self.band_of_place[piece.places].int()]
        return places[..., None].expand(*places.shape, self.parts).flatten(1)

    def _members(self, places: slice) -> Tensor:
        """Which of some places is in which band. Sums are matrix products: a GPU adds them in one order every time."""
        bands = torch.arange(self.bands, device=self.band_of_place.device)
        return (self.band_of_place[places][:, None] == bands).float()


def one_band(size: int, device: torch.device) -> Bands:
    """All coordinates alike."""
    return Bands(torch.zeros(size, dtype=torch.int64, device=device), 1)


def total(parts: Iterable[Tensor]) -> Tensor:
    """The sum over pieces."""
    return functools.reduce(torch.add, parts)


def _pieces(places: int, planes: int, parts: int) -> Iterator[Piece]:
    if planes * places * parts <= WHOLE_UP_TO:
        yield Piece(slice(None), None, slice(None))
        return
    step = max(1, PIECE // parts)
    for plane in range(planes):
        for first in range(0, places, step):
            last, before = min(first + step, places), plane * places
            yield Piece(slice((before + first) * parts, (before + last) * parts), plane, slice(first, last))
