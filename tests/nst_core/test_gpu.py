"""Tests that need a GPU; skipped where there is none."""

import pytest
import torch

from nst_core.backbones.backbone import load_backbone
from nst_core.backbones.find import find_weights
from nst_core.machine.runtime import choose_devices, has_native_bf16, prepare_process
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.stylize import stylize

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 96, 128, generator=generator), torch.rand(1, 3, 96, 96, generator=generator)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gpu_stylizes_as_the_cpu_does(precision) -> None:
    """A pair reaches the same loss, measured in fp32, on a GPU as on the CPU."""
    options = StylizeOptions(steps=40, plateau_tolerance=0.0).resolved()
    (device, *_) = choose_devices("auto")
    if precision == "bf16" and not has_native_bf16(device):
        pytest.skip("this GPU has no bf16")
    content, style = _images()

    prepare_process(device)
    losses = {}
    for place, kind in ((device, precision), ("cpu", "fp32")):
        backbone = load_backbone(find_weights("vgg19"), place, kind)
        request = StylizeRequest(content, prepare_style(backbone, style, options), options)
        (result,) = stylize([request], backbone)
        assert isinstance(result, StylizeResult)
        losses[place] = measure(result.pastiche, request, backbone).total
        assert losses[place] < result.initial.total

    assert losses[device] == pytest.approx(losses["cpu"], rel=0.05)


def test_a_batch_on_a_gpu_gives_the_losses_of_its_pairs_alone() -> None:
    """Two pairs that are stylized in one batch on a GPU reach the same losses as alone."""
    options = StylizeOptions(steps=20, plateau_tolerance=0.0).resolved()
    (device, *_) = choose_devices("auto")
    prepare_process(device)
    backbone = load_backbone(find_weights("vgg19"), device, "fp32")
    content, style = _images()
    prepared = prepare_style(backbone, style, options)
    requests = [StylizeRequest(one, prepared, options) for one in (content, content.flip(3))]

    together = stylize(requests, backbone)
    alone = [stylize([request], backbone)[0] for request in requests]

    for one, other, request in zip(together, alone, requests, strict=True):
        assert isinstance(one, StylizeResult)
        assert isinstance(other, StylizeResult)
        first, second = (measure(result.pastiche, request, backbone).total for result in (one, other))
        assert first == pytest.approx(second, rel=0.02)
