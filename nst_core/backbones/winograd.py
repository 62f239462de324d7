"""3 x 3 convolution in fp32 by Winograd's minimal filtering, F(4 x 4, 3 x 3), in plain tensor operations.

Lavin and Gray (1509.09308): a tile of 4 x 4 outputs takes 36 multiplications per pair of channels instead of 144, done
as 36 matrix products over all tiles. The transformed weights are kept, which makes it fast on small maps with many
channels, where a library that transforms them at every call spends most of its time on that.
"""

import torch
from torch import Tensor

TILE = 4
"""Side of a tile of outputs."""
WINDOW = 6
"""Side of the window of inputs that a tile depends on."""
STRIP_FLOATS = 6_000_000
"""Floats of transformed tiles that are computed at a time: they are read back at once, so they should still be in the
processor's cache."""

# Matrices that are applied to the rows and the columns of windows, weights and products.
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
    """Return weights of shape (K, C, 3, 3) as 36 matrices, shape (36, C, K), computed in float64."""
    filters, channels = weight.shape[:2]
    by_side = torch.tensor(_WEIGHT_TRANSFORM, dtype=torch.float64, device=weight.device)
    taps = weight.permute(2, 3, 1, 0).reshape(9, channels * filters)
    transformed = torch.kron(by_side, by_side) @ taps.double()
    return transformed.to(weight.dtype).view(WINDOW * WINDOW, channels, filters)


def convolve(features: Tensor, transformed: Tensor, bias: Tensor | None) -> Tensor:
    """Return the cross-correlation with zero padding of one pixel, as `conv2d(features, weight, bias, padding=1)` does.

    Args:
        features: float32, shape (N, C, H, W).
        transformed: the result of `transform_weights`.
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
    # Cropping and making the result contiguous is done in the same pass that adds the bias.
    cropped = output[:, :height, :width]
    return (cropped.contiguous() if bias is None else cropped + bias).permute(0, 3, 1, 2)


def _strips(down: int, across: int, channels: int) -> list[range]:
    """Return ranges of rows of tiles that are computed at a time."""
    rows = max(1, STRIP_FLOATS // (WINDOW * WINDOW * across * channels))
    return [range(first, min(first + rows, down)) for first in range(0, down, rows)]


def _convolve_strip(padded: Tensor, output: Tensor, transformed: Tensor, rows: range) -> None:
    """Convolve some rows of tiles, from (H + 2, W + 2, C) to (H, W, K)."""
    input_transform, output_transform = _transforms(padded)
    across, channels, filters = output.shape[1] // TILE, padded.shape[2], output.shape[2]
    tiles = len(rows) * across
    down_stride, across_stride, _ = padded.stride()
    windows = padded.as_strided(
        (WINDOW, WINDOW, len(rows), across, channels),
        (down_stride, across_stride, TILE * down_stride, TILE * across_stride, 1),
        padded.storage_offset() + TILE * rows.start * down_stride,
    ).reshape(WINDOW * WINDOW, tiles * channels)
    products = torch.bmm((input_transform @ windows).view(-1, tiles, channels), transformed)
    pixels = (output_transform @ products.view(WINDOW * WINDOW, -1)).view(TILE, TILE, len(rows), across, filters)
    target = output[TILE * rows.start : TILE * rows.stop].view(len(rows), TILE, across, TILE, filters)
    target.copy_(pixels.permute(2, 0, 3, 1, 4))


def _transforms(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the transforms of tiles as columns, (36, 36) into and (16, 36) out of Winograd's domain."""
    input_transform = torch.tensor(_INPUT_TRANSFORM, dtype=like.dtype, device=like.device)
    output_transform = torch.tensor(_OUTPUT_TRANSFORM, dtype=like.dtype, device=like.device)
    return torch.kron(input_transform, input_transform), torch.kron(output_transform, output_transform)
