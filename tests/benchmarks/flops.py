"""The number of floating point operations of one evaluation, from the shape of VGG-19. No torch."""

from nst_core.options.layers import channels, layer_names

DEEPEST = "conv5_1"
KERNEL_POSITIONS = 9
PASSES = 2
"""One forward pass, and one backward pass to the pixels, of equal cost; the frozen weights need no gradient."""


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
