"""The engine on a GPU: it reaches the losses of the CPU with all options, and its memory does not grow."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.errors import OutOfMemory
from nst_core.guides import ContentGuides, StyleSource
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.runtime import choose_devices, has_native_bf16, prepare_process
from nst_core.measure import measure
from nst_core.one_pair import StylizedPicture, stylize_picture
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.pixels import to_tensor
from nst_core.stylize import stylize
from tests.nst_core.drawn import half, noise

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZE = (128, 96)


def _gpu() -> str:
    return choose_devices("auto")[0]


def _tensor(seed: int, width: int = 128, height: int = 96) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _backbone(device: str, precision: PrecisionName) -> Backbone:
    prepare_process(device)
    return load_backbone(find_weights("vgg19"), device, precision)


def _request(content: torch.Tensor, backbone: Backbone, options: StylizeOptions) -> StylizeRequest:
    return StylizeRequest(content, prepare_style(backbone, _tensor(1, *content.shape[:1:-1]), options), options)


def _stylized(request: StylizeRequest, backbone: Backbone, free: int | None = None) -> StylizeResult:
    (result,) = stylize([request], backbone, free=free)
    assert isinstance(result, StylizeResult)
    return result


def _loss(result: StylizeResult, request: StylizeRequest, backbone: Backbone) -> float:
    return measure(result.pastiche, request, backbone).total


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_pair_has_the_same_loss_on_a_gpu_as_on_the_cpu(precision: PrecisionName) -> None:
    """A pair reaches the same loss on a GPU and on the CPU, both measured in fp32."""
    if precision == "bf16" and not has_native_bf16(_gpu()):
        pytest.skip("this GPU has no bf16")
    options = StylizeOptions(steps=40, plateau_tolerance=0.0).resolved()
    losses = []
    for device, kind in ((_gpu(), precision), ("cpu", "fp32")):
        backbone = _backbone(device, kind)
        request = _request(_tensor(0), backbone, options)
        result = _stylized(request, backbone)
        losses.append(_loss(result, request, backbone))
        assert losses[-1] < result.initial.total

    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_one_image_has_the_same_losses_on_a_gpu_as_on_the_cpu() -> None:
    """The fp32 losses of one image, as in the results table, do not depend on the device that computes them."""
    losses = []
    for device in (_gpu(), "cpu"):
        backbone = _backbone(device, "fp32")
        request = _request(_tensor(0), backbone, StylizeOptions().resolved())
        losses.append(measure(_tensor(2), request, backbone))

    on_gpu, on_cpu = losses
    for name in ("total", "content", "style"):
        assert getattr(on_gpu, name) == pytest.approx(getattr(on_cpu, name), rel=1e-3)


@contextmanager
def _no_more_memory_than(number: int) -> Iterator[None]:
    """Let torch's allocator take only so many bytes of the GPU beyond what it has now."""
    gpu = _gpu()
    torch.cuda.empty_cache()
    limit = torch.cuda.memory_reserved(gpu) + number
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(gpu).total_memory, gpu)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, gpu)


def test_a_batch_that_is_too_large_leaves_the_memory_to_a_smaller_one() -> None:
    """Sixteen pairs run out of memory for real, and leave nothing behind, so that one of them alone can be done."""
    options = StylizeOptions(steps=5, plateau_tolerance=0.0).resolved()
    backbone = _backbone(_gpu(), "fp32")
    request = _request(_tensor(0, 256, 256), backbone, options)
    with _no_more_memory_than(700_000_000):
        before = torch.cuda.memory_allocated()
        with pytest.raises(OutOfMemory, match="16 pairs of 256 x 256 px"):
            stylize([request] * 16, backbone, free=10**12)

        assert torch.cuda.memory_allocated() <= before
        assert _loss(_stylized(request, backbone), request, backbone) > 0.0


MASKED = StyleSource((noise(2, SIZE),), mask=half(SIZE))
LOOKS = {
    "moments": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"recipe": "moments"}),
    "notebook": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"recipe": "notebook"}),
    "luminance": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"colors": "luminance"}),
    "match": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"colors": "match"}),
    "blend": (StyleSource((noise(2, SIZE), noise(3, SIZE))), ContentGuides(), {"style_blend": (0.7, 0.3)}),
    "regions": (MASKED, ContentGuides(mask=half(SIZE)), {}),
    "regions with moments": (MASKED, ContentGuides(mask=half(SIZE)), {"recipe": "moments"}),
    "protect": (StyleSource((noise(2, SIZE),)), ContentGuides(protect=half(SIZE)), {}),
    "transparency": (StyleSource((noise(2, SIZE),)), ContentGuides(alpha=half(SIZE).convert("L")), {"alpha": "keep"}),
    "a start image": (StyleSource((noise(2, SIZE),)), ContentGuides(start=noise(4, SIZE)), {}),
    "average pooling": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"pooling": "average"}),
    "coarse levels": (StyleSource((noise(2, SIZE),)), ContentGuides(), {"levels": 2}),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_has_the_same_loss_on_a_gpu_as_on_the_cpu(look: str) -> None:
    """Every kind of objective runs on a GPU and reaches the loss that it reaches on the CPU."""
    style, guides, values = LOOKS[look]
    options = StylizeOptions.model_validate({"steps": 20, "plateau_tolerance": 0.0, "size_px": 128} | values)

    def on(device: str) -> StylizedPicture:
        return stylize_picture(noise(1, SIZE), style, options, guides=guides, device=device)

    on_gpu, on_cpu = on(_gpu()), on("cpu")
    assert on_gpu.losses.total == pytest.approx(on_cpu.losses.total, rel=0.05)
    assert on_gpu.initial.total == pytest.approx(on_cpu.initial.total, rel=1e-3)
    if guides.protect is not None:
        assert (np.asarray(on_gpu.picture)[:, :60] == np.asarray(on_cpu.picture)[:, :60]).all()


def test_images_are_shrunk_by_64_on_a_gpu() -> None:
    """Seven levels of a 1024 px pair begin at 16 px, a factor that CUDA's antialiased resizing cannot do at once."""
    options = StylizeOptions(steps=5, plateau_tolerance=0.0, levels=7).resolved()
    backbone = _backbone(_gpu(), "fp32")
    request = _request(to_tensor(noise(1, (1024, 1024))), backbone, options)

    result = _stylized(request, backbone)

    assert len(result.coarse_evaluations) == 6
    assert _loss(result, request, backbone) < result.initial.total


def test_the_smallest_memory_plan_has_the_same_loss() -> None:
    """The plan that is chosen when no memory is left, in tiles and with recomputation, changes nothing but the time."""
    options = StylizeOptions(steps=10, plateau_tolerance=0.0).resolved()
    backbone = _backbone(_gpu(), "fp32")
    request = _request(_tensor(0), backbone, options)

    usual, smallest = (_loss(_stylized(request, backbone, free), request, backbone) for free in (None, 0))

    assert smallest == pytest.approx(usual, rel=0.02)


def test_a_second_run_of_one_shape_needs_no_more_memory() -> None:
    """What a run leaves allocated on a GPU is its result; a second run peaks where the first one did."""
    options = StylizeOptions(steps=5, plateau_tolerance=0.0).resolved()
    backbone = _backbone(_gpu(), "fp32")
    request = _request(_tensor(0), backbone, options)
    peaks, left = [], []
    for _ in range(3):
        torch.cuda.reset_peak_memory_stats()
        _stylized(request, backbone)
        peaks.append(torch.cuda.max_memory_allocated())
        left.append(torch.cuda.memory_allocated())

    assert peaks[2] <= peaks[1]
    assert left[2] <= left[0]


def test_a_batch_on_a_gpu_is_its_pairs_alone() -> None:
    """Two pairs in one batch reach the losses that they reach alone."""
    options = StylizeOptions(steps=20, plateau_tolerance=0.0).resolved()
    backbone = _backbone(_gpu(), "fp32")
    first = _request(_tensor(0), backbone, options)
    requests = [first, StylizeRequest(first.content.flip(3), first.style, options)]

    together = stylize(requests, backbone)

    for result, request in zip(together, requests, strict=True):
        assert isinstance(result, StylizeResult)
        alone = _loss(_stylized(request, backbone), request, backbone)
        assert _loss(result, request, backbone) == pytest.approx(alone, rel=0.02)
