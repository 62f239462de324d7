"""The names of VGG's layers, in the order in which they run. No torch.

`convB_K` is the K-th convolution of block B, `reluB_K` its rectified output, `poolB` the pooling that ends block B.
Simonyan and Zisserman (1409.1556), configurations D (VGG-16) and E (VGG-19).
"""

CONVOLUTIONS_PER_BLOCK = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)


def layer_names(architecture: str) -> tuple[str, ...]:
    """Return the names of all layers of the convolutional part, in order.

    >>> layer_names("vgg16")[:5]
    ('conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1')
    >>> len(layer_names("vgg19"))
    37
    """
    names: list[str] = []
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[architecture], start=1):
        for index in range(1, convolutions + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return tuple(names)


def channels(convolution: str) -> tuple[int, int]:
    """Return the number of input and output channels of a convolution.

    >>> channels("conv1_1"), channels("conv1_2"), channels("conv2_1"), channels("conv5_1")
    ((3, 64), (64, 64), (64, 128), (512, 512))
    """
    block, index = (int(digits) for digits in convolution.removeprefix("conv").split("_"))
    inputs = CHANNELS_PER_BLOCK[block - 1] if index > 1 else (3, *CHANNELS_PER_BLOCK)[block - 1]
    return inputs, CHANNELS_PER_BLOCK[block - 1]


FEATURE_LAYERS = tuple(name for name in layer_names("vgg19") if not name.startswith("pool"))
"""Layers whose features a loss may use. VGG-16 has the same names except `*3_4`, `*4_4` and `*5_4`."""
