"""The arithmetic of one evaluation, counted from VGG-19's shape. No torch."""

from nst_core.options.layers import channels, layer_names

DEEPEST = "conv5_1"
KERNEL_POSITIONS = 9
PASSES = 2
"""Forward, and backward to the pixels, which is as much again; the weights are frozen and get no gradient."""


def flop_per_evaluation(width: int, height: int) -> float:
    """Floating point operations of one forward and backward pass to relu5_1: convolutions only, no Gram matrices.

    >>> round(flop_per_evaluation(512, 512) / 1e12, 3)
    0.379
    """
    total = 0
    for name in layer_names("vgg19"):
        if not name.startswith("conv"):
            continue
        incoming, outgoing = channels(name)
        block = int(name[4]) - 1
        positions = (width >> block) * (height >> block)
        total += 2 * KERNEL_POSITIONS * incoming * outgoing * positions
        if name == DEEPEST:
            break
    return float(PASSES * total)
