"""Gram matrices: correlations between channels, and their gradient."""

import torch
from torch import Tensor

from nst_core.errors import ShapeError

CHUNK_POSITIONS = 256
"""On a CPU, the fewest positions whose products are summed before the sum is rounded to bf16."""

MOST_CHUNKS = 32
"""Most chunks per feature map; summing more of them would take longer than computing the products."""

FEWEST_CHUNKS = 8
"""Fewest chunks: with less, an fp32 copy costs little and there are too few roundings to cancel out."""


def gram_matrix(feature_map: Tensor) -> Tensor:
    """Compute the correlations between the channels of each feature map, averaged over positions, in at least fp32.

    Args:
        feature_map: features, float, shape (N, C, H, W).

    Returns:
        Symmetric positive semi-definite matrices, shape (N, C, C); float64 for float64 input, else float32.

    Raises:
        ShapeError: unless `feature_map` has four dimensions.

    Departs from Gatys et al. (2016), eq. 3, which sums over positions: divided by the H*W positions, it is independent
    of the image size.

    >>> gram_matrix(torch.ones(1, 1, 2, 3)).item()
    1.0
    """
    return gram_sums(feature_map) / (feature_map.shape[2] * feature_map.shape[3])


def gram_sums(feature_map: Tensor) -> Tensor:
    """Compute Gram matrices summed, not averaged, over positions, so that the sums of an image's parts add up."""
    if feature_map.dim() != 4:
        raise ShapeError(f"expected a feature map of shape (N, C, H, W), got {tuple(feature_map.shape)}")
    return _products(_by_position(feature_map))


def _products(by_position: Tensor) -> Tensor:
    """Return the channel products of a map of shape (N, positions, C), summed over positions, shape (N, C, C)."""
    if by_position.dtype == torch.float64:
        return by_position.transpose(1, 2) @ by_position
    if by_position.dtype == torch.bfloat16:
        if by_position.is_cuda:
            # Tensor cores multiply bf16 exactly and add in fp32, so that the result is as precise as with an fp32 copy.
            return torch.bmm(by_position.transpose(1, 2), by_position, out_dtype=torch.float32)
        if by_position.shape[1] >= FEWEST_CHUNKS * CHUNK_POSITIONS and by_position.is_contiguous():
            return _products_by_chunks(by_position)
    exact = by_position.float()
    return exact.transpose(1, 2) @ exact


def _products_by_chunks(by_position: Tensor) -> Tensor:
    """Multiply bf16 maps on a CPU chunk by chunk: products are exact and summed in fp32; each chunk's sum is rounded.

    A CPU's bf16 product cannot return fp32. Over the chunks the rounding errors cancel out to some 3e-4 of the matrix,
    in an eighth of the time of an fp32 copy.
    """
    count, positions, channels = by_position.shape
    chunks = min(MOST_CHUNKS, positions // CHUNK_POSITIONS)
    length = positions // chunks
    whole = by_position[:, : chunks * length].reshape(count * chunks, length, channels)
    sums = torch.bmm(whole.transpose(1, 2), whole).view(count, chunks, channels, channels).sum(1, dtype=torch.float32)
    rest = by_position[:, chunks * length :].float()
    return sums.baddbmm_(rest.transpose(1, 2), rest)


def add_gram_gradient(feature_map: Tensor, sums_gradient: Tensor, gradient: Tensor | None) -> Tensor:
    """Backpropagate the gradient with respect to `gram_sums` to the feature map.

    Args:
        feature_map: features, shape (N, C, H, W).
        sums_gradient: the gradient with respect to the sums, symmetric, shape (N, C, C).
        gradient: a gradient of the feature map's shape to which the result is added; its memory may be reused. None is
            0.

    Returns:
        gradient + 2 sums_gradient F, in the feature map's shape and precision.
    """
    factor = sums_gradient.mul(2.0).to(feature_map.dtype)
    if not feature_map.is_contiguous():
        return _add_by_position(feature_map, factor, gradient)
    by_channel = feature_map.flatten(2)
    if gradient is None:
        return torch.bmm(factor, by_channel).view_as(feature_map)
    gradient = gradient.contiguous()
    gradient.flatten(2).baddbmm_(factor, by_channel)
    return gradient


def _by_position(feature_map: Tensor) -> Tensor:
    """Return the features as shape (N, positions, C); a view, not a copy, in both usual memory formats."""
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)


def _add_by_position(feature_map: Tensor, factor: Tensor, gradient: Tensor | None) -> Tensor:
    count, channels, height, width = feature_map.shape
    by_position = _by_position(feature_map)
    if gradient is None:
        return torch.bmm(by_position, factor).view(count, height, width, channels).permute(0, 3, 1, 2)
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    _by_position(gradient).baddbmm_(by_position, factor)
    return gradient
