"""VGG by layer name, and where its weights come from.

    catalogue   the backbones there are, with the sha256 of their weights (no torch)
    find        the weights file of a backbone on this machine, or its download (no torch until then)
    weights     reading a weights file, its sha256 checked at every load
    vgg         the network, cut at the deepest layer asked for
    pooling     pooling and its gradient
    bits        the same, and rectifiers, of bf16 maps on a CPU by their bits
    winograd    3 x 3 convolution by minimal filtering
    convolution one frozen convolution, by whichever algorithm is fastest for its shape
    scheduled   the network forward and back by a fixed schedule, without autograd
    backbone    a loaded network: an exact fp32 one, and a fast one to optimise with

This module imports nothing, so that `catalogue` stays free of torch.
"""
