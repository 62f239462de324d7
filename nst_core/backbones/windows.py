"""The four numbers of every 2 x 2 window, as views of the map they are in. Maps are of shape (N, C, H, W)."""

from torch import Tensor


def crop_to_even(features: Tensor) -> Tensor:
    """Return the map without an odd last row or column, which VGG's pooling ignores."""
    height, width = features.shape[2:]
    return features[..., : height // 2 * 2, : width // 2 * 2]


def row_halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper and the lower row of every two rows."""
    return features[..., ::2, :], features[..., 1::2, :]


def column_halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the left and the right column of every two columns."""
    return features[..., ::2], features[..., 1::2]
