"""measure: the losses of a finished image."""

import pytest
import torch

from nst_core.backbones.backbone import wrap_network
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.errors import ShapeError
from nst_core.measure import measure
from nst_core.scene.pixels import to_picture, to_tensor
from tests.nst_core.pairs import Pairs, Picture, direct_losses


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_measure(pairs: Pairs, picture: Picture, recipe: str) -> None:
    """`measure` returns the losses of the 8-bit image against targets encoded from the pair's images."""
    request = pairs.request(recipe=recipe, steps=3, tv_weight=2.0)
    (result,) = pairs.stylize(request)
    pixels = to_tensor(to_picture(result.pastiche))

    found = measure(pixels, request, pairs.backbone)

    expected = direct_losses(pairs.backbone, pixels, picture(28, 32, 1), picture(32, 24, 11), request.options)
    assert vars(found) == pytest.approx(vars(expected), rel=1e-6)
    assert found.total == pytest.approx(
        request.options.content_weight * found.content + request.options.style_weight * found.style + 2.0 * found.tv,
        rel=1e-5,
    )


def test_measure_is_exact_in_a_bf16_backbone(convolutions: Convolutions, pairs: Pairs) -> None:
    """With a backbone in bf16 `measure` returns exactly the losses of the one in fp32."""
    fast = wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16")
    request = pairs.request()
    pixels = pairs.picture(28, 32, 7)

    assert measure(pixels, request, fast) == measure(pixels, request, pairs.backbone)


@pytest.mark.parametrize("init", ["content", "noise"])
def test_measure_takes_a_known_content_target(pairs: Pairs, init: str) -> None:
    """Given the content target that a result carries, `measure` returns the losses that it returns without it."""
    requests = [pairs.request(number, init=init, steps=1) for number in (1, 2)]

    for result, request in zip(pairs.stylize(*requests), requests, strict=True):
        pixels = pairs.picture(28, 32, 7)
        expected = measure(pixels, request, pairs.backbone)
        assert vars(measure(pixels, request, pairs.backbone, result.content)) == pytest.approx(vars(expected), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 28, 33), (3, 28, 32), (2, 3, 28, 32)])
def test_measure_refuses_another_shape_than_the_contents(pairs: Pairs, shape: tuple[int, ...]) -> None:
    """An image of another shape than the content's is refused; the error names the expected shape."""
    with pytest.raises(ShapeError, match=r"expected an image of shape \(1, 3, 28, 32\)"):
        measure(torch.zeros(shape), pairs.request(), pairs.backbone)
