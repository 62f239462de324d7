"""Bands: groups of coordinates that an optimizer scales alike, because their curvature is estimated together."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

WHOLE_UP_TO = 1 << 24
"""Largest number of coordinates processed in one piece: slightly more than those of an image of 2048 x 2048 px."""

PIECE = 1 << 22
"""Coordinates per piece beyond that, so that temporary tensors stay small compared with the image."""


@dataclass(frozen=True)
class Piece:
    """A part of every row of coordinates that is processed at once.

    Attributes:
        of_row: the slice of the row.
        plane: the plane that the slice lies in; None for the whole row.
        places: the slice of that plane's places.
    """

    of_row: slice
    plane: int | None
    places: slice


class Bands:
    """The division of a row of coordinates, laid out as (planes, places, parts), into bands.

    A band is a group of places in one plane.

    Args:
        band_of_place: the band of each place, integers of shape (places,).
        bands: the number of bands per plane; bands are numbered from 0, and some may be empty.
        planes: the number of planes, each with the same places.
        parts: the number of adjacent coordinates per place.
    """

    def __init__(self, band_of_place: Tensor, bands: int, *, planes: int = 1, parts: int = 1) -> None:
        # For a large image, eight bytes per place would be a third of the image's memory.
        self.band_of_place = band_of_place.to(torch.uint8) if bands <= 256 else band_of_place
        self.planes, self.parts, self.bands, self.count = planes, parts, bands, planes * bands
        self.size = planes * band_of_place.numel() * parts
        self.pieces = tuple(_pieces(band_of_place.numel(), planes, parts))
        self._membership = self._members(slice(None)) if len(self.pieces) == 1 else None

    def square_sums(self, vectors: Tensor, piece: Piece | None = None) -> Tensor:
        """Return the squared length of vectors (N, n), or of a piece of them, in each band, shape (N, count)."""
        if piece is None or piece.plane is None:
            squares = vectors.view(vectors.shape[0], self.planes, -1, self.parts).square().sum(dim=3)
            members = self._members(slice(None)) if self._membership is None else self._membership
            return (squares @ members).flatten(1)
        squares = vectors.view(vectors.shape[0], -1, self.parts).square().sum(dim=2)
        sums = vectors.new_zeros(vectors.shape[0], self.count)
        sums[:, piece.plane * self.bands : (piece.plane + 1) * self.bands] = squares @ self._members(piece.places)
        return sums

    def spread(self, values: Tensor, piece: Piece | None = None) -> Tensor:
        """Expand a value per band, shape (N, count), to every coordinate of the band, shape (N, n), or of a piece."""
        by_plane = values.view(values.shape[0], self.planes, -1)
        if piece is None or piece.plane is None:
            places = by_plane[:, :, self.band_of_place.int()]
        else:
            places = by_plane[:, piece.plane, self.band_of_place[piece.places].int()]
        return places[..., None].expand(*places.shape, self.parts).flatten(1)

    def _members(self, places: slice) -> Tensor:
        """Return the membership matrix of some places, shape (places, bands).

        It turns band sums into matrix products, which a GPU adds up in the same order every time.
        """
        bands = torch.arange(self.bands, device=self.band_of_place.device)
        return (self.band_of_place[places][:, None] == bands).float()


def one_band(size: int, device: torch.device) -> Bands:
    """Return a single band of all coordinates."""
    return Bands(torch.zeros(size, dtype=torch.int64, device=device), 1)


def total(parts: Iterable[Tensor]) -> Tensor:
    """Return the sum of the terms of all pieces."""
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
