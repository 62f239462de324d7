"""The names of VGG's layers, in the order in which they run."""

import torch
import torchvision.models
from torch import nn

from nst_core.options.layers import CONVOLUTIONS_PER_BLOCK, FEATURE_LAYERS, channels, layer_names


def test_the_layer_names_of_vgg16() -> None:
    """VGG-16 has blocks of two, two, three, three and three convolutions with a ReLU each, and a pooling per block."""
    expected = """
        conv1_1 relu1_1 conv1_2 relu1_2 pool1
        conv2_1 relu2_1 conv2_2 relu2_2 pool2
        conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 pool3
        conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 pool4
        conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 pool5
    """

    assert layer_names("vgg16") == tuple(expected.split())


def test_vgg19_has_a_fourth_convolution_in_blocks_3_to_5() -> None:
    """VGG-19 has one more convolution and ReLU than VGG-16 in each of the blocks 3, 4 and 5."""
    more = {"conv3_4", "relu3_4", "conv4_4", "relu4_4", "conv5_4", "relu5_4"}

    assert set(layer_names("vgg19")) - set(layer_names("vgg16")) == more
    assert tuple(name for name in layer_names("vgg19") if name not in more) == layer_names("vgg16")


def test_layer_names_match_torchvisions_modules() -> None:
    """The n-th name has the kind, and for a convolution the channels, of the n-th module of torchvision's network."""
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}

    for architecture in CONVOLUTIONS_PER_BLOCK:
        with torch.device("meta"):
            modules = getattr(torchvision.models, architecture)(weights=None).features

        assert [name[:4] for name in layer_names(architecture)] == [kinds[type(module)] for module in modules]
        for name, module in zip(layer_names(architecture), modules, strict=True):
            if isinstance(module, nn.Conv2d):
                assert channels(name) == (module.in_channels, module.out_channels)


def test_a_loss_may_use_every_layer_except_pooling() -> None:
    """A loss may use every convolution and ReLU of VGG-19, but no pooling layer."""
    assert set(layer_names("vgg19")) - set(FEATURE_LAYERS) == {f"pool{block}" for block in range(1, 6)}
