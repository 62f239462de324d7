"""Groups of coordinates that an optimizer scales alike, because what is known of their curvature is known together."""

import torch
from torch import Tensor


class Bands:
    """A row of coordinates, laid out as (planes, places, parts), in one band per plane and group of places.

    Args:
        band_of_place: band of each place, shape (places,), int64.
        bands: in a plane, counted from 0; some may be empty.
        planes: times that the places follow one another.
        parts: coordinates of one place, which lie side by side.
    """

    def __init__(self, band_of_place: Tensor, bands: int, *, planes: int = 1, parts: int = 1) -> None:
        self.band_of_place, self.planes, self.parts, self.count = band_of_place, planes, parts, planes * bands
        # Sums over bands are matrix products: a GPU adds them in the same order every time.
        self.membership = (band_of_place[:, None] == torch.arange(bands, device=band_of_place.device)).float()

    def square_sums(self, vectors: Tensor) -> Tensor:
        """Squared length of each vector of (N, n) in each band, shape (N, count)."""
        squares = vectors.view(vectors.shape[0], self.planes, -1, self.parts).square().sum(dim=3)
        return (squares @ self.membership).flatten(1)

    def spread(self, values: Tensor) -> Tensor:
        """A value per band, shape (N, count), at every coordinate of the band, shape (N, n)."""
        places = values.view(values.shape[0], self.planes, -1)[:, :, self.band_of_place]
        return places[..., None].expand(*places.shape, self.parts).flatten(1)


def one_band(size: int, device: torch.device) -> Bands:
    """All coordinates alike."""
    return Bands(torch.zeros(size, dtype=torch.int64, device=device), 1)
