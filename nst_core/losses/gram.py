"""Correlations between channels."""

import torch
from torch import Tensor

from nst_core.errors import ShapeError


def gram_matrix(feature_map: Tensor) -> Tensor:
    """Correlations between the channels of each feature map, averaged over positions, in at least fp32.

    Args:
        feature_map: float, shape (N, C, H, W).

    Returns:
        Shape (N, C, C), symmetric, positive semi-definite; float64 for float64 input, else float32.

    Raises:
        ShapeError: unless `feature_map` has four dimensions.

    Departs from Gatys et al. (2016), eq. 3, which sums: divided by the H*W positions, to suit every size.

    >>> gram_matrix(torch.ones(1, 1, 2, 3)).item()
    1.0
    """
    if feature_map.dim() != 4:
        raise ShapeError(f"expected a feature map of shape (N, C, H, W), got {tuple(feature_map.shape)}")
    if feature_map.dtype != torch.float64:
        feature_map = feature_map.float()
    # (N, positions, C) is a plain view of a channels_last map; (N, C, positions) would be a copy.
    by_position = feature_map.permute(0, 2, 3, 1).flatten(1, 2)
    return by_position.transpose(1, 2) @ by_position / by_position.shape[1]
