"""What the optimisation starts from: the content image, the style image, or seeded noise."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.catalogue import IMAGENET_MEAN
from nst_core.options import StylizeOptions

NOISE_STD = 0.02
"""Faint: of strong noise the finest grains outlast the optimisation and show in the picture."""


def initial_pastiche(content: Tensor, style: Tensor, options: StylizeOptions) -> Tensor:
    """The first pastiche, in [0, 1], of the content's shape (1, 3, H, W).

    Noise is Gaussian around ImageNet's mean colour, made on the CPU so that a seed means the same on every device.
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
