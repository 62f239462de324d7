"""What can be known of a GPU where there is none.

Torch's fake tensors have a device, a shape and a precision, and no numbers: an operator that is given tensors of two
devices fails as it would on a GPU, and so does whatever asks the device for a number, which makes the host wait.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from nst_core.backbones.backbone import Backbone
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.optimize import evaluate
from nst_core.optimizers.coordinates import FourierBox
from nst_core.optimizers.lbfgs import LBFGS
from nst_core.options import StylizeOptions
from nst_core.scene.canvas import Canvas

GPU = "cuda:0"
PAIRS, HEIGHT, WIDTH = 3, 66, 70


@pytest.fixture(autouse=True)
def _fake_tensors() -> Iterator[None]:
    with FakeTensorMode():
        yield


@pytest.fixture(params=["fp32", "bf16"])
def backbone_on_gpu(convolutions: Convolutions, request) -> Backbone:
    """VGG-19 on a GPU. Fake weights cannot be moved, so they are made there."""
    precision = request.param
    exact = _network(convolutions, torch.float32)
    fast = exact if precision == "fp32" else _network(convolutions, torch.bfloat16)
    return Backbone("fake", "0" * 64, GPU, precision, exact, ScheduledVGG(fast))


def _network(convolutions: Convolutions, dtype: torch.dtype) -> VGG:
    with torch.device(GPU):
        weights = {
            name: (torch.empty(weight.shape, dtype=dtype), torch.empty(bias.shape, dtype=dtype))
            for name, (weight, bias) in convolutions.items()
        }
        return VGG("vgg19", weights)


def _pictures(count: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.empty(count, 3, height, width, device=GPU)


def _loss(backbone: Backbone, *, recompute: bool = False, **options) -> PerceptualLoss:
    resolved = StylizeOptions(**options).resolved()
    content = encode_content(backbone.exact, _pictures(PAIRS), resolved)
    style = encode_style(backbone.exact, _pictures(1, 60, 80), resolved)
    return PerceptualLoss(backbone.fast.recomputing(recompute=recompute), content, style, resolved)


def _all_of(terms: LossTerms) -> tuple[Tensor, ...]:
    return terms.total, terms.content, terms.style, terms.tv


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("options", [{}, {"pooling": "average", "tv_weight": 1.0}, {"recipe": "notebook"}])
def test_an_evaluation_stays_on_the_gpu(backbone_on_gpu, options, recompute) -> None:
    """Losses and gradient are made on the GPU, in fp32, and the host is never made to wait for them."""
    loss = _loss(backbone_on_gpu, recompute=recompute, **options)

    terms, gradient = loss.with_gradient(_pictures(PAIRS))

    assert gradient.shape == (PAIRS, 3, HEIGHT, WIDTH)
    assert {str(one.device) for one in (*_all_of(terms), gradient)} == {GPU}
    assert {one.dtype for one in (*_all_of(terms), gradient)} == {torch.float32}
    assert {one.shape for one in _all_of(terms)} == {(PAIRS,)}


def test_a_step_never_makes_the_host_wait(backbone_on_gpu) -> None:
    """From coordinates to the next coordinates, through a full history, no number is asked for."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    optimizer = LBFGS(box.encode(_pictures(PAIRS)), history=2)

    for _ in range(4):
        terms, gradients = evaluate(loss, Canvas(box.decode(optimizer.point)), box, optimizer.point)
        optimizer.tell(terms.total, gradients)

    assert str(optimizer.point.device) == GPU
    with pytest.raises(DataDependentOutputException):
        terms.values()


class FromTheHost(TorchDispatchMode):
    """The operators that were given a tensor of the host's: to bring it to the GPU, the host waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # as torch calls it
        if any(isinstance(one, Tensor) and one.device.type == "cpu" for one in args):
            self.operators.append(str(operator))
        return operator(*args, **kwargs or {})


@pytest.mark.parametrize("keeps_colours", [False, True], ids=["all colours", "luminance alone"])
def test_an_evaluation_takes_nothing_from_the_host(backbone_on_gpu, keeps_colours) -> None:
    """Whatever it needs was brought to the GPU by the first one."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    canvas = Canvas(_pictures(PAIRS), None, keeps_colours)
    optimizer = LBFGS(box.encode(_pictures(PAIRS)), history=2)
    evaluate(loss, canvas, box, optimizer.point)

    with FromTheHost() as seen:
        terms, gradients = evaluate(loss, canvas, box, optimizer.point)
        optimizer.tell(terms.total, gradients)

    assert seen.operators == []


def test_a_pair_that_stops_leaves_the_gpu_at_work(backbone_on_gpu) -> None:
    """Going on with some of the pairs moves nothing off the GPU."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    optimizer = LBFGS(box.encode(_pictures(PAIRS)))
    optimizer.tell(*_told(loss, box, optimizer))
    left = torch.tensor([2, 0], device=GPU)

    optimizer.keep(left)
    values, gradients = _told(loss.keep(left), box, optimizer)

    assert values.shape == (2,)
    assert str(gradients.device) == GPU


def _told(loss: PerceptualLoss, box: FourierBox, optimizer: LBFGS) -> tuple[Tensor, Tensor]:
    terms, gradients = evaluate(loss, Canvas(box.decode(optimizer.point)), box, optimizer.point)
    return terms.total, gradients
