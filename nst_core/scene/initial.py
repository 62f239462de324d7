"""The initial pastiche: the content image, the style image, or seeded noise."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.catalogue import IMAGENET_MEAN
from nst_core.options import StylizeOptions

NOISE_STD = 0.02
"""Standard deviation of the noise, kept low: the finest grain of strong noise outlasts the optimisation and shows in
the result."""


def initial_pastiche(content: Tensor, style: Tensor, options: StylizeOptions) -> Tensor:
    """Return the initial pastiche, in [0, 1], of the content's shape (1, 3, H, W).

    Noise is Gaussian around ImageNet's mean colour, and generated on the CPU, so that a seed gives the same noise on
    every device.
    """
    if options.init == "content":
        return content
    if options.init == "style":
        shape = content.shape[2:]
        style = style.to(content.device)
        return functional.interpolate(style, size=shape, mode="bilinear", antialias=True, align_corners=False)
    generator = torch.Generator("cpu").manual_seed(options.seed)
    noise = torch.randn(content.shape, generator=generator, dtype=torch.float32, device="cpu").mul(NOISE_STD)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device="cpu").view(1, 3, 1, 1)
    return (noise + mean).clamp(0.0, 1.0).to(content.device)
