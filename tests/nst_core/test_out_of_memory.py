"""Too little memory: every task raises OutOfMemory, and the tensors of the failed call are freed."""

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nst_core.errors import OutOfMemory
from nst_core.losses.regions import Regions
from nst_core.machine.footprint import base_bytes, predicted_bytes
from nst_core.machine.memory import plan_memory
from nst_core.measure import measure
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from nst_core.scene.styles import StyleImage
from nst_core.stylize import stylize
from tests.nst_core.pairs import Pairs, make

# A view of one pixel: only a copy of it, or its features, would take the memory, three terabytes.
VAST = torch.zeros(1, 3, 1, 1).expand(1, 3, 16, 2**34)

Task = Callable[[Pairs, StylizeRequest], Any]

TASKS: dict[str, Task] = {
    "stylize": lambda pairs, request: stylize([request], pairs.backbone),
    "prepare_style": lambda pairs, request: prepare_style(pairs.backbone, request.content, request.options),
    "measure": lambda pairs, request: measure(request.content, request, pairs.backbone),
}


@pytest.mark.parametrize("task", TASKS)
def test_an_image_beyond_all_memory_is_out_of_memory(pairs: Pairs, task: str) -> None:
    """An image too large for any memory raises OutOfMemory, which names the image's size, the device and a remedy."""
    request = pairs.request(1)
    vast = StylizeRequest(VAST, request.style, request.options)

    with pytest.raises(OutOfMemory) as caught:
        TASKS[task](pairs, vast)

    assert all(part in str(caught.value) for part in ("17179869184 x 16 px", "cpu", "lower size_px"))


@pytest.mark.parametrize(
    ("options", "guides"),
    [
        ({"colors": "luminance"}, {}),
        ({}, {"regions": Regions(torch.ones(1, 1, 28, 32))}),
        ({}, {"protected": torch.zeros(1, 1, 28, 32)}),
    ],
)
def test_guides_and_luminance_count_towards_the_memory(
    pairs: Pairs, options: dict[str, Any], guides: dict[str, Any]
) -> None:
    """Where a plain pair just fits, one with regions, protection or `colors` luminance is refused before it starts."""
    plain = pairs.request()
    network, height, width = pairs.backbone, *plain.content.shape[2:]
    smallest = plan_memory(width, height, 1, network, 0)
    free = predicted_bytes(width, height, smallest, network) - base_bytes(network)

    stylize([plain], network, free=free)
    with pytest.raises(OutOfMemory, match="takes at least"):
        stylize([dataclasses.replace(plain, options=make(**options), **guides)], network, free=free)


@pytest.mark.parametrize("task", TASKS)
def test_out_of_memory_holds_no_tensor_of_the_failed_call(pairs: Pairs, task: str) -> None:
    """While an OutOfMemory is handled, the failed call's tensors are free, so that a smaller batch can be tried."""
    request = pairs.request(1)
    witnesses: list[weakref.ref[Tensor]] = []

    def run_out(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        witnesses.append(weakref.ref(inputs[0]))
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    handle = pairs.backbone.exact.features[2].register_forward_pre_hook(run_out)
    with pytest.raises(OutOfMemory) as caught:
        TASKS[task](pairs, request)
    handle.remove()

    assert isinstance(caught.value, OutOfMemory)
    assert [witness() for witness in witnesses] == [None]


def test_another_runtime_error_is_not_out_of_memory(pairs: Pairs) -> None:
    """A RuntimeError that has nothing to do with memory does not become an OutOfMemory."""
    request = pairs.request(1)
    target = {layer: gram.to(torch.complex64) for layer, gram in request.style.target.items()}
    broken = StylizeRequest(request.content, StyleImage(request.style.pictures, target), request.options)

    with pytest.raises(RuntimeError) as caught:
        stylize([broken], pairs.backbone)

    assert not isinstance(caught.value, OutOfMemory)
