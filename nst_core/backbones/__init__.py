"""VGG networks that return the features of named layers, and the files with their weights.

    catalogue   the known backbones, with the sha256 of their weights (no torch)
    find        finding the weights file of a backbone on this machine, or downloading it (torch only to download)
    weights     reading a weights file, whose sha256 is checked at every load
    vgg         the network, cut at the deepest requested layer
    windows     views of the numbers in every 2 x 2 window of a map
    pooling     pooling and its gradient
    bf16_cpu    rectifiers, pooling and their gradients for bf16 maps on a CPU, by integer operations
    winograd    3 x 3 convolution by Winograd's minimal filtering
    convolution one frozen convolution, by whichever algorithm is fastest for its shape
    scheduled   the forward and backward pass by a fixed schedule, without autograd
    backbone    a loaded network: an exact fp32 one, and a fast one to optimise with

This module imports nothing, so that `catalogue` can be imported without torch.
"""
