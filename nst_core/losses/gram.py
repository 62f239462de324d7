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

GPU_CHUNK_POSITIONS = 8192
"""On a GPU, the fewest positions that are summed by one part of the processor, at some two bytes per pixel for the
sums."""


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
    dtype, positions = by_position.dtype, by_position.shape[1]
    if dtype == torch.float64:
        return by_position.transpose(1, 2) @ by_position
    if by_position.is_cuda and dtype in (torch.bfloat16, torch.float32):
        # Tensor cores multiply bf16 exactly and add in fp32, but every addition truncates: a single sum over all
        # positions would be too small, and would occupy a single one of the GPU's many processors.
        return _products_by_chunks(by_position, _even_chunks(positions))
    if dtype == torch.bfloat16 and positions >= FEWEST_CHUNKS * CHUNK_POSITIONS and by_position.is_contiguous():
        # A CPU's bf16 product cannot return fp32, so that each chunk's sum is rounded. Over the chunks the errors
        # cancel out to some 3e-4 of the matrix, in an eighth of the time of an fp32 copy.
        return _products_by_chunks(by_position, min(MOST_CHUNKS, positions // CHUNK_POSITIONS))
    exact = by_position.float()
    return exact.transpose(1, 2) @ exact


def _even_chunks(positions: int) -> int:
    """Return how many chunks a GPU makes: they are equally long, as the maps of a batch would be copied otherwise."""
    most = max(1, positions // GPU_CHUNK_POSITIONS)
    return next(chunks for chunks in range(most, 0, -1) if positions % chunks == 0)


def _products_by_chunks(by_position: Tensor, chunks: int) -> Tensor:
    """Multiply bf16 or fp32 maps in chunks of their positions, each summed in fp32, and add these sums in fp32."""
    count, positions, channels = by_position.shape
    length = positions // chunks
    whole = by_position[:, : chunks * length].reshape(count * chunks, length, channels)
    sums = _products_of_chunks(whole).view(count, chunks, channels, channels).sum(1, dtype=torch.float32)
    if chunks * length == positions:
        return sums
    rest = by_position[:, chunks * length :].float()
    return sums.baddbmm_(rest.transpose(1, 2), rest)


def _products_of_chunks(whole: Tensor) -> Tensor:
    if whole.is_cuda and whole.dtype == torch.bfloat16:
        return torch.bmm(whole.transpose(1, 2), whole, out_dtype=torch.float32)
    return torch.bmm(whole.transpose(1, 2), whole)


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
