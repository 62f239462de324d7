"""ScheduledVGG: VGG's features and gradient without autograd, compared with the same network under autograd."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.errors import OptionsError

Picture = Callable[..., Tensor]

LAYERS = [
    ("relu1_1", "relu2_1", "relu3_1"),
    ("conv1_1", "relu1_1", "conv3_2"),
    ("relu2_2",),
    ("conv4_1", "relu4_1", "relu1_2"),
]


def by_schedule(
    scheduled: ScheduledVGG, image: Tensor, layers: tuple[str, ...], pooling: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the features, and the image's gradient of half the sum of their squares."""
    features: dict[str, Tensor] = {}

    def read(layer: str, seen: Tensor) -> None:
        features[layer] = seen.clone()

    def add(_layer: str, seen: Tensor, gradient: Tensor | None) -> Tensor:
        return seen.clone() if gradient is None else gradient + seen

    return features, scheduled.forward(image, layers, pooling, read).backward(add)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("layers", LAYERS)
def test_features_and_gradients_equal_autograds(
    network64: VGG, picture: Picture, layers: tuple[str, ...], pooling: str, recompute: bool
) -> None:
    """In float64, features and gradients are autograd's, whichever layers are read, with and without recomputing."""
    image = torch.cat([picture(27, 34, 0), picture(27, 34, 1)]).double()
    reference = image.clone().requires_grad_()
    expected = network64(reference, layers, pooling)
    (gradient,) = torch.autograd.grad(sum(one.square().sum() for one in expected.values()) / 2, reference)

    features, found = by_schedule(ScheduledVGG(network64, recompute=recompute), image, layers, pooling)

    assert features.keys() == expected.keys()
    for layer in layers:
        torch.testing.assert_close(features[layer], expected[layer])
    torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 50), (96, 64)])
def test_the_fast_network_has_nearly_the_exact_gradient(
    backbone: Backbone, picture: Picture, height: int, width: int
) -> None:
    """In fp32, the fast network's gradient differs from the exact one by less than 5e-3, because rounding changes which
    values a ReLU or a pooling lets through.
    """
    image, layers = picture(height, width, 0), ("relu1_1", "relu3_1", "relu5_1")
    reference = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        sum(one.square().sum() for one in backbone.exact(reference, layers).values()) / 2, reference
    )

    _, found = by_schedule(backbone.fast, image, layers, "max")

    assert (found - gradient).norm() < 5e-3 * gradient.norm()


def test_recomputing_shares_the_weights(backbone: Backbone) -> None:
    """`recomputing` returns another network with the same prepared weights, and does not change the original one."""
    other = backbone.fast.recomputing(recompute=True)

    assert other.recompute
    assert not backbone.fast.recompute
    assert other.convolutions is backbone.fast.convolutions


def test_an_image_too_small_for_a_layer_is_refused(backbone: Backbone, picture: Picture) -> None:
    """An image too small for a layer is refused with the message of the network itself."""
    with pytest.raises(OptionsError, match="at least 16 px"):
        by_schedule(backbone.fast, picture(8, 40, 0), ("relu5_1",), "max")
