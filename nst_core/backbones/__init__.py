"""VGG by layer name, and where its weights come from.

    catalogue   the backbones there are, with the sha256 of their weights (no torch)
    weights     finding a weights file and reading it, its sha256 checked at every load
    vgg         the network, cut at the deepest layer asked for
    backbone    a loaded network: an exact fp32 one, and a fast one where the hardware has bf16

This module imports nothing, so that `catalogue` stays free of torch.
"""
