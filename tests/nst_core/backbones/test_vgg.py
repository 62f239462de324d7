"""VGG: features of named layers for an image, compared with torchvision's network, and what it refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torchvision.models
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.errors import OptionsError, ShapeError, WeightsError
from nst_core.options.layers import layer_names

Picture = Callable[..., Tensor]

DEEP_LAYERS = ("conv2_1", "relu2_2", "relu3_1", "conv4_2", "relu5_1", "relu5_4", "pool1", "pool3", "pool5")
"""Layers behind at least one pooling, and poolings themselves: an image can be too small for them."""


@contextmanager
def calls_of(network: VGG) -> Iterator[list[str]]:
    """Record the names of the layers that run, in order."""
    calls: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in zip(network.layers, network.features, strict=True)
    ]
    yield calls
    for handle in handles:
        handle.remove()


def test_requested_features_are_returned_by_name(network: VGG, picture: Picture) -> None:
    """Each requested layer's features have its block's channels, and the image's size halved once per pooling."""
    features = network(torch.cat([picture(50, 37, 0), picture(50, 37, 1)]), ("relu1_2", "conv3_1", "relu5_4", "pool2"))

    assert {name: tuple(feature_map.shape) for name, feature_map in features.items()} == {
        "relu1_2": (2, 64, 50, 37),
        "pool2": (2, 128, 12, 9),
        "conv3_1": (2, 256, 12, 9),
        "relu5_4": (2, 512, 3, 2),
    }


def test_relu2_1_is_what_its_definition_says(network: VGG, convolutions: Convolutions, picture: Picture) -> None:
    """relu2_1 is the normalised image, convolved and rectified twice, pooled, and convolved and rectified again."""
    image = picture(20, 24, 0)
    current = torch.empty_like(image)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        current[:, channel] = (image[:, channel] - mean) / std
    for layer in ("conv1_1", "conv1_2"):
        current = functional.conv2d(current, *convolutions[layer], padding=1).relu()
    current = functional.conv2d(functional.max_pool2d(current, 2), *convolutions["conv2_1"], padding=1).relu()

    torch.testing.assert_close(network(image, ("relu2_1",))["relu2_1"], current, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_every_layer_has_torchvisions_features(
    architecture: str, picture: Picture, request: pytest.FixtureRequest
) -> None:
    """Every layer's features equal those of torchvision's network with the same weights."""
    given = "convolutions" if architecture == "vgg19" else "convolutions_vgg16"
    network = VGG(architecture, request.getfixturevalue(given))
    with torch.device("meta"):
        theirs = getattr(torchvision.models, architecture)(weights=None).features
    theirs.load_state_dict(network.features.state_dict(), assign=True)
    image, layers = picture(40, 33, 0), layer_names(architecture)
    expected = [network.normalise(image)]
    for module in theirs:
        expected.append(module(expected[-1].clone()))  # a copy, because torchvision's ReLUs work in place

    features = network(image, layers)

    for name, feature_map in zip(layers, expected[1:], strict=True):
        assert torch.equal(features[name], feature_map), name


@pytest.mark.parametrize("layers", [("relu1_1",), ("relu4_2", "relu1_1"), ("conv2_2", "relu2_1"), ("relu5_4",)])
def test_no_layer_runs_after_the_deepest_requested_one(network: VGG, picture: Picture, layers: tuple[str, ...]) -> None:
    """The pass ends with the deepest requested layer, in whatever order the layers are given."""
    last = max(network.layers.index(layer) for layer in layers)

    with calls_of(network) as calls:
        network(picture(16, 16, 0), layers)

    assert tuple(calls) == layer_names("vgg19")[: last + 1]


def test_features_do_not_depend_on_the_other_requested_layers(network: VGG, picture: Picture) -> None:
    """A layer has the same features whether it is requested alone or together with layers before and after it."""
    image = picture(32, 32, 0)

    together = network(image, ("conv2_1", "relu2_1", "relu4_1"))

    for layer, feature_map in together.items():
        torch.testing.assert_close(network(image, (layer,))[layer], feature_map, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", ["1_1", "3_2", "5_1"])
def test_conv_features_are_those_before_the_relu(network: VGG, picture: Picture, name: str) -> None:
    """A conv layer has negative features; its relu layer has the same features with negative values set to 0."""
    features = network(picture(32, 32, 0), (f"conv{name}", f"relu{name}"))

    assert features[f"conv{name}"].min().item() < 0.0
    assert torch.equal(features[f"relu{name}"], features[f"conv{name}"].clamp_min(0.0))


def test_pooling_is_max_pooling_by_default(network: VGG, picture: Picture) -> None:
    """By default pooling returns the maximum of each 2 x 2 block, as in the paper."""
    features = network(picture(32, 32, 0), ("relu1_2", "pool1"))

    blocks = features["relu1_2"].unflatten(2, (16, 2)).unflatten(4, (16, 2))
    assert torch.equal(features["pool1"], blocks.amax(dim=(3, 5)))


def test_average_pooling_is_rescaled(network: VGG, picture: Picture) -> None:
    """Average pooling returns 1.45 times the mean of each 2 x 2 block, in every block of layers."""
    layers = ("relu1_2", "pool1", "relu2_2", "pool2", "relu3_4", "pool3")

    features = network(picture(32, 32, 0), layers, "average")

    for before, after in zip(layers[::2], layers[1::2], strict=True):
        size = features[after].shape[2]
        blocks = features[before].unflatten(2, (size, 2)).unflatten(4, (size, 2))
        torch.testing.assert_close(features[after], 1.45 * blocks.mean(dim=(3, 5)))


@pytest.mark.parametrize("layer", DEEP_LAYERS)
def test_an_image_too_small_for_a_layer_is_refused(network: VGG, layer: str) -> None:
    """An image that leaves one position at a layer is accepted; with one pixel less on one side it is refused, with the
    needed and the actual size.
    """
    halvings = int(layer[4]) - (0 if layer.startswith("pool") else 1)
    needed = 2**halvings

    assert network(torch.full((1, 3, needed, needed + 1), 0.5), (layer,))[layer].shape[2:] == (1, 1)
    with pytest.raises(OptionsError, match=f"layer {layer} needs at least {needed} px .* has {needed - 1} px"):
        network(torch.full((1, 3, needed, needed - 1), 0.5), (layer,))


def test_a_layer_of_the_other_architecture_is_refused(convolutions_vgg16: Convolutions, picture: Picture) -> None:
    """VGG-16 refuses a layer that only VGG-19 has, and lists its own layers."""
    network = VGG("vgg16", convolutions_vgg16)

    with pytest.raises(OptionsError, match="vgg16 has no layer 'relu3_4'; it has conv1_1, relu1_1, "):
        network(picture(32, 32, 0), ("relu1_1", "relu3_4"))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (32, 32)])
def test_other_shapes_than_those_of_rgb_images_are_refused(network: VGG, shape: tuple[int, ...]) -> None:
    """A tensor that is not of shape (N, 3, H, W) is refused."""
    with pytest.raises(ShapeError, match="expected an image of shape"):
        network(torch.zeros(shape), ("relu1_1",))


def test_weights_are_frozen(network: VGG) -> None:
    """No weight requires a gradient, and the network is in evaluation mode."""
    assert list(network.parameters())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_the_image_has_a_gradient_and_the_weights_have_none(network: VGG, picture: Picture) -> None:
    """Backpropagation gives every pixel of the image a gradient, and the weights none."""
    image = picture(32, 32, 0).requires_grad_()

    network(image, ("relu3_1",))["relu3_1"].sum().backward()

    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())
    assert bool((image.grad != 0).any(dim=1).all())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_images_memory_order_does_not_matter(network: VGG, picture: Picture) -> None:
    """An image in channels_last memory order has the same features as one in the default order."""
    image = picture(32, 32, 0)

    found = network(image.to(memory_format=torch.channels_last), ("relu3_1",))["relu3_1"]

    assert torch.equal(found, network(image, ("relu3_1",))["relu3_1"])


def test_float64_agrees_with_fp32(network: VGG, network64: VGG, picture: Picture) -> None:
    """The network in float64 has the features of the one in fp32, up to the rounding of fp32."""
    image = picture(32, 32, 0)

    found = network64(image.double(), ("relu5_1",))["relu5_1"]

    assert found.dtype == network64.dtype == torch.float64
    torch.testing.assert_close(network(image, ("relu5_1",))["relu5_1"].double(), found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("wrong", ["weight", "bias"])
def test_a_weight_or_a_bias_of_another_shape_is_refused(convolutions: Convolutions, wrong: str) -> None:
    """A weight or a bias of another shape is an error that names the layer and the expected shapes."""
    weight, bias = convolutions["conv2_1"]
    odd = (weight[:64], bias) if wrong == "weight" else (weight, bias[:64])

    with pytest.raises(WeightsError, match=r"layer conv2_1: expected weights of shape \(128, 64, 3, 3\) and \(128,\)"):
        VGG("vgg19", convolutions | {"conv2_1": odd})


def test_the_image_is_normalised_by_the_networks_own_mean(convolutions: Convolutions) -> None:
    """The image minus the network's own mean is divided by ImageNet's standard deviation, in channels_last order."""
    mean = (0.1, 0.2, 0.3)
    image = torch.tensor(mean).add(torch.tensor([0.229, 0.224, 0.225])).view(1, 3, 1, 1).expand(2, 3, 4, 5)

    found = VGG("vgg19", convolutions, mean).normalise(image)

    torch.testing.assert_close(found, torch.ones(2, 3, 4, 5))
    assert found.is_contiguous(memory_format=torch.channels_last)
