"""Backbone: a network from a weights file, as an exact fp32 version and a fast one in fp32 or bf16."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone, load_backbone, wrap_network
from nst_core.backbones.find import find_weights
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions

Picture = Callable[..., Tensor]


@pytest.fixture(scope="module")
def bf16(convolutions: Convolutions) -> Backbone:
    return wrap_network(VGG("vgg19", convolutions), "random", "ab" * 32, precision="bf16")


def test_a_backbone_has_name_sha256_device_and_precision(bf16: Backbone) -> None:
    """A backbone carries its name, the sha256 of its weights, its device and its precision."""
    found = (bf16.name, bf16.weights_sha256, bf16.device, bf16.precision)

    assert found == ("random", "ab" * 32, "cpu", "bf16")


def test_with_fp32_the_fast_network_is_the_exact_one(backbone: Backbone) -> None:
    """With precision fp32 the fast network uses the exact network itself, not a copy of it."""
    assert backbone.precision == "fp32"
    assert backbone.fast.network is backbone.exact
    assert backbone.exact.dtype == torch.float32


def test_with_bf16_the_fast_network_is_a_rounded_copy(bf16: Backbone) -> None:
    """With precision bf16 the exact network keeps fp32, and the fast network has the same weights rounded to bf16."""
    exact, fast = bf16.exact.state_dict(), bf16.fast.network.state_dict()

    assert (bf16.exact.dtype, bf16.fast.network.dtype) == (torch.float32, torch.bfloat16)
    assert all(torch.equal(fast[name], exact[name].bfloat16()) for name in exact)


def test_the_fast_network_normalises_the_image_in_fp32(bf16: Backbone) -> None:
    """The bf16 network normalises the image by the same fp32 mean and standard deviation as the exact one."""
    for name in ("mean", "std"):
        exact, fast = getattr(bf16.exact, name), getattr(bf16.fast.network, name)

        assert fast.dtype == torch.float32
        assert torch.equal(fast, exact)


@pytest.mark.parametrize("layer", ["relu1_1", "relu3_1", "relu5_1"])
def test_bf16_features_are_close(bf16: Backbone, picture: Picture, layer: str) -> None:
    """The bf16 network's features differ from the exact ones by less than 1.5 % in root mean square."""
    image = picture(48, 40, 0)
    exact, fast = bf16.exact(image, (layer,))[layer], bf16.fast.network(image, (layer,))[layer]

    assert fast.dtype == torch.bfloat16
    assert (fast.float() - exact).square().mean().sqrt() < 0.015 * exact.square().mean().sqrt()


def test_bf16_gives_the_image_an_fp32_gradient(bf16: Backbone, picture: Picture) -> None:
    """The image's gradient through the bf16 network is fp32, and its cosine with the exact one is above 0.97."""
    gradients = []
    for network in (bf16.exact, bf16.fast.network):
        image = picture(48, 40, 0).requires_grad_()
        network(image, ("relu3_1",))["relu3_1"].float().square().mean().backward()
        assert image.grad is not None
        gradients.append(image.grad.flatten())

    assert gradients[1].dtype == torch.float32
    assert torch.cosine_similarity(*gradients, dim=0).item() > 0.97


def test_weights_and_features_are_channels_last(bf16: Backbone) -> None:
    """Weights and features of both networks are in channels_last memory order."""
    for network in (bf16.exact, bf16.fast.network):
        features = network(torch.full((1, 3, 32, 32), 0.5), ("relu2_1",))["relu2_1"]

        assert features.is_contiguous(memory_format=torch.channels_last)
        assert network.features[2].weight.is_contiguous(memory_format=torch.channels_last)


def test_load_backbone_takes_name_and_sha256_from_the_file() -> None:
    """A loaded backbone has the weights file's name and sha256, the mean of the original network, and the precision
    that was requested, by default fp32.
    """
    weights = find_weights("vgg19")

    loaded = load_backbone(weights, "cpu", "bf16")

    assert (loaded.name, loaded.weights_sha256) == ("vgg19", weights.sha256)
    assert (loaded.device, loaded.precision, loaded.fast.network.dtype) == ("cpu", "bf16", torch.bfloat16)
    assert (255 * loaded.exact.mean).flatten().tolist() == pytest.approx([123.68, 116.779, 103.939])
    assert load_backbone(weights).precision == "fp32"
