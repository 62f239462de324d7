"""Bring a style image to the content's colours (Gatys et al., 2017, 1611.07865, section 5)."""

import torch
from torch import Tensor

from nst_core.options import StylizeOptions
from nst_core.scene.canvas import grey

RIDGE = 1e-5
"""Value added to the diagonals of colour covariances in [0, 1]; without it an image of few colours has no inverse
root."""


def recoloured(style: Tensor, content: Tensor, options: StylizeOptions) -> Tensor:
    """Return a style image, shape (1, 3, H, W), in [0, 1], in the colours that the option `colors` requests."""
    if options.colors == "match":
        return matched(style, content)
    return luminance_matched(style, content) if options.colors == "luminance" else style


def matched(style: Tensor, content: Tensor) -> Tensor:
    """Give a style the content's mean and covariance of colours, clamped to [0, 1].

    x' = S_c^1/2 S_s^-1/2 (x - mu_s) + mu_c
    """
    mean, covariance = _colour_moments(style)
    wanted_mean, wanted = _colour_moments(content)
    map_ = _power(wanted, 0.5) @ _power(covariance, -0.5)
    moved = torch.einsum("ac,nchw->nahw", map_, style.double() - mean.view(1, 3, 1, 1))
    return (moved + wanted_mean.view(1, 3, 1, 1)).clamp(0.0, 1.0).to(style.dtype)


def luminance_matched(style: Tensor, content: Tensor) -> Tensor:
    """Remove a style's colours and give its luminance the content's mean and standard deviation, clamped to [0, 1]."""
    light, wanted = grey(style).double(), grey(content).double()
    spread = wanted.std(correction=0) / light.std(correction=0).clamp_min(RIDGE**0.5)
    return ((light - light.mean()) * spread + wanted.mean()).clamp(0.0, 1.0).to(style.dtype)


def _colour_moments(image: Tensor) -> tuple[Tensor, Tensor]:
    pixels = image.double().permute(1, 0, 2, 3).flatten(1)
    mean = pixels.mean(dim=1)
    centred = pixels - mean[:, None]
    covariance = centred @ centred.T / pixels.shape[1]
    return mean, covariance + RIDGE * torch.eye(3, dtype=pixels.dtype, device=pixels.device)


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    power: Tensor = (vectors * values.clamp_min(RIDGE * 0.1) ** exponent) @ vectors.T
    return power
