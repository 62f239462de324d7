"""notebook_baseline: the transcription of the notebook agrees with the recipe `notebook`."""

import pytest
import torch

from nst_core.backbones.backbone import wrap_network
from nst_core.backbones.find import find_weights
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions, load_convolutions
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from tests.benchmarks import notebook_baseline

SIZE_PX = 32


@pytest.fixture(scope="module")
def published() -> Convolutions:
    """The published weights of VGG-19."""
    return load_convolutions(find_weights("vgg19"))


def test_the_transcriptions_loss_is_that_of_the_recipe(published: Convolutions) -> None:
    """On random images, with the published weights, both compute the same loss."""
    pastiche, content, style = torch.rand(3, 1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(7))
    vgg = VGG("vgg19", published)
    backbone = wrap_network(vgg, "vgg19", "0" * 64)
    options = StylizeOptions(recipe="notebook").resolved()
    expected = measure(pastiche, StylizeRequest(content, prepare_style(backbone, style, options), options), backbone)

    network = notebook_baseline.full_features(published)
    mean, std = vgg.mean, vgg.std
    with torch.no_grad():
        contents, styles = (
            notebook_baseline.layer_features((image - mean) / std, network) for image in (content, style)
        )
        grams = {layer: notebook_baseline.gram(styles[layer]) for layer in notebook_baseline.STYLE_WEIGHTS}
        found = notebook_baseline.total_loss((pastiche - mean) / std, network, contents, grams)

    assert found.item() == pytest.approx(expected.total, rel=1e-4)


def test_the_transcriptions_loop_lowers_the_loss(published: Convolutions) -> None:
    """Three steps of Adam from the content image lower the loss."""
    network = notebook_baseline.full_features(published)
    content, style = torch.randn(2, 1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        contents, styles = (notebook_baseline.layer_features(image, network) for image in (content, style))
        grams = {layer: notebook_baseline.gram(styles[layer]) for layer in notebook_baseline.STYLE_WEIGHTS}

    ended = notebook_baseline.stylize(content, style, network, steps=3)

    with torch.no_grad():
        before = notebook_baseline.total_loss(content, network, contents, grams)
        after = notebook_baseline.total_loss(ended, network, contents, grams)
    assert after < before
