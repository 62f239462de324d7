"""The four numbers of every window of 2 x 2, as views of the map that they are in. Maps are of shape (N, C, H, W)."""

from torch import Tensor


def even(features: Tensor) -> Tensor:
    """The map without an odd last row or column, which VGG's pooling leaves out."""
    height, width = features.shape[2:]
    return features[..., : height // 2 * 2, : width // 2 * 2]


def row_halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower row of every two."""
    return features[..., ::2, :], features[..., 1::2, :]


def column_halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """The left and the right column of every two."""
    return features[..., ::2], features[..., 1::2]
