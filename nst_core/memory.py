"""How many pairs a device holds at once. No measurement yet: a rule of thumb on the safe side."""

import torch

from nst_core.backbones.backbone import Backbone
from nst_core.options import StylizeOptions

GPU_BYTES_PER_PIXEL = 8000
"""Features of VGG-19 in fp32 with their gradients, rounded up."""

CPU_PIXELS = 4 * 256 * 256
"""A CPU gains only while pictures are too small to keep its cores busy."""


def largest_batch(width: int, height: int, options: StylizeOptions, backbone: Backbone) -> int:  # noqa: ARG001
    """How many pairs of this size, in pixels, to stylize at once on the backbone's device; at least 1."""
    pixels = width * height
    if not backbone.device.startswith("cuda"):
        return max(1, min(4, CPU_PIXELS // pixels))
    free_bytes, _ = torch.cuda.mem_get_info(backbone.device)
    return max(1, min(64, free_bytes // (pixels * GPU_BYTES_PER_PIXEL)))
