"""3 x 3 convolution in fp32 by Winograd's minimal filtering, F(4 x 4, 3 x 3), in plain tensor operations.

Lavin and Gray (1509.09308): a tile of 4 x 4 outputs takes 36 multiplications per pair of channels instead of 144, done
as 36 matrix products over all tiles. The transformed weights are kept, which is what makes it fast on small maps of
many channels, where a library that transforms them at every call spends most of its time on that.
"""

import torch
from torch import Tensor

TILE = 4
WINDOW = 6
STRIP_FLOATS = 6_000_000
"""Of transformed tiles at a time: they are read back at once, so they should still be in the processor's cache."""

_INPUT_TRANSFORM = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHT_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT_TRANSFORM = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def transform_weights(weight: Tensor) -> Tensor:
    """Weights of shape (K, C, 3, 3) as 36 matrices, shape (36, C, K), computed in float64."""
    filters, channels = weight.shape[:2]
    by_side = torch.tensor(_WEIGHT_TRANSFORM, dtype=torch.float64, device=weight.device)
    taps = weight.permute(2, 3, 1, 0).reshape(9, channels * filters)
    transformed = torch.kron(by_side, by_side) @ taps.double()
    return transformed.to(weight.dtype).view(WINDOW * WINDOW, channels, filters)


def convolve(features: Tensor, transformed: Tensor, bias: Tensor | None) -> Tensor:
    """Cross-correlation with one pixel of zeros around, as `conv2d(features, weight, bias, padding=1)`.

    Args:
        features: float32, shape (N, C, H, W).
        transformed: as `transform_weights` gives it.
        bias: shape (K,).

    Returns:
        Shape (N, K, H, W), in channels_last memory order.
    """
    count, channels, height, width = features.shape
    down, across = -(-height // TILE), -(-width // TILE)
    padded = features.new_zeros(count, down * TILE + 2, across * TILE + 2, channels)
    padded[:, 1 : height + 1, 1 : width + 1] = features.permute(0, 2, 3, 1)
    output = features.new_empty(count, down * TILE, across * TILE, transformed.shape[2])
    for image in range(count):
        for rows in _strips(down, across, max(transformed.shape[1:])):
            _convolve_strip(padded[image], output[image], transformed, rows)
    # Cut to size and dense again, in the one pass that adds the bias.
    cut = output[:, :height, :width]
    return (cut.contiguous() if bias is None else cut + bias).permute(0, 3, 1, 2)


def _strips(down: int, across: int, channels: int) -> list[range]:
    rows = max(1, STRIP_FLOATS // (WINDOW * WINDOW * across * channels))
    return [range(first, min(first + rows, down)) for first in range(0, down, rows)]


def _convolve_strip(padded: Tensor, output: Tensor, transformed: Tensor, rows: range) -> None:
    """Some rows of tiles, from (H + 2, W + 2, C) to (H, W, K)."""
    into, out_of = _transforms(padded)
    across, channels, filters = output.shape[1] // TILE, padded.shape[2], output.shape[2]
    tiles = len(rows) * across
    down_stride, across_stride, _ = padded.stride()
    windows = padded.as_strided(
        (WINDOW, WINDOW, len(rows), across, channels),
        (down_stride, across_stride, TILE * down_stride, TILE * across_stride, 1),
        padded.storage_offset() + TILE * rows.start * down_stride,
    ).reshape(WINDOW * WINDOW, tiles * channels)
    products = torch.bmm((into @ windows).view(-1, tiles, channels), transformed)
    pixels = (out_of @ products.view(WINDOW * WINDOW, -1)).view(TILE, TILE, len(rows), across, filters)
    target = output[TILE * rows.start : TILE * rows.stop].view(len(rows), TILE, across, TILE, filters)
    target.copy_(pixels.permute(2, 0, 3, 1, 4))


def _transforms(like: Tensor) -> tuple[Tensor, Tensor]:
    """The transforms of tiles, (36, 36) into and (16, 36) out of Winograd's domain, for tiles as columns."""
    into = torch.tensor(_INPUT_TRANSFORM, dtype=like.dtype, device=like.device)
    out_of = torch.tensor(_OUTPUT_TRANSFORM, dtype=like.dtype, device=like.device)
    return torch.kron(into, into), torch.kron(out_of, out_of)
