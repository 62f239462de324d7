"""Fixtures for the engine's tests: seeded random networks, smooth images and the published VGG-19. No download."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.backbone import Backbone, load_backbone, wrap_network
from nst_core.backbones.find import find_weights
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.options.layers import channels, layer_names
from tests.nst_core.pairs import Pairs, Picture


def random_convolutions(architecture: str, seed: int) -> Convolutions:
    """Random weights of He's variance, with which features keep their size from layer to layer, and small biases."""
    generator = torch.Generator().manual_seed(seed)
    convolutions: Convolutions = {}
    for name in layer_names(architecture):
        if name.startswith("conv"):
            incoming, outgoing = channels(name)
            weight = torch.randn(outgoing, incoming, 3, 3, generator=generator) * (2.0 / (9 * incoming)) ** 0.5
            convolutions[name] = (weight, 0.05 * torch.randn(outgoing, generator=generator))
    return convolutions


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sets torch to one thread: on images this small a second one gains nothing and, on a busy machine, delays both."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def convolutions() -> Convolutions:
    """Random weights of VGG-19."""
    return random_convolutions("vgg19", seed=1)


@pytest.fixture(scope="session")
def convolutions_vgg16() -> Convolutions:
    """Random weights of VGG-16."""
    return random_convolutions("vgg16", seed=2)


@pytest.fixture(scope="session")
def network(convolutions: Convolutions) -> VGG:
    """A random VGG-19 in fp32."""
    return VGG("vgg19", convolutions)


@pytest.fixture(scope="session")
def network64(convolutions: Convolutions) -> VGG:
    """The same network in float64, for comparing formulas."""
    return VGG("vgg19", convolutions).double()


@pytest.fixture(scope="session")
def backbone(convolutions: Convolutions) -> Backbone:
    """The same network in fp32, as the backbone that `stylize` takes."""
    return wrap_network(VGG("vgg19", convolutions), "random", "0" * 64)


@pytest.fixture(scope="session")
def real_vgg19() -> Backbone:
    """The published VGG-19 of the default backbone."""
    return load_backbone(find_weights("vgg19"))


@pytest.fixture(scope="session")
def picture() -> Picture:
    """(height, width, seed) -> image of smooth blots with a little grain, in (0, 1), shape (1, 3, height, width)."""

    def make(height: int, width: int, seed: int, *, strength: float = 2.0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        blots = torch.randn(1, 3, 5, 5, generator=generator) * strength
        smooth = functional.interpolate(blots, size=(height, width), mode="bicubic", align_corners=False)
        return (smooth + 0.3 * torch.randn(1, 3, height, width, generator=generator)).sigmoid()

    return make


@pytest.fixture
def pairs(backbone: Backbone, picture: Picture) -> Pairs:
    """Makes requests for the random VGG-19, and stylizes them."""
    return Pairs(backbone, picture)
