"""What can be tested of the engine on a GPU without having one.

Torch's fake tensors have a device, a shape and a dtype, but no numbers. An operator on tensors of two devices fails as
on a GPU, and so does any code that reads a number from the device, for which the host would wait.
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
from nst_core.losses.gram import gram_sums
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
    """VGG-19 on a GPU; its weights are created there, because fake tensors cannot be moved."""
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


def _images(count: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.empty(count, 3, height, width, device=GPU)


def _loss(backbone: Backbone, *, recompute: bool = False, **options) -> PerceptualLoss:
    resolved = StylizeOptions(**options).resolved()
    content = encode_content(backbone.exact, _images(PAIRS), resolved)
    style = encode_style(backbone.exact, _images(1, 60, 80), resolved)
    return PerceptualLoss(backbone.fast.recomputing(recompute=recompute), content, style, resolved)


def _all_of(terms: LossTerms) -> tuple[Tensor, ...]:
    return terms.total, terms.content, terms.style, terms.tv


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("options", [{}, {"pooling": "average", "tv_weight": 1.0}, {"recipe": "notebook"}])
def test_an_evaluation_stays_on_the_gpu(backbone_on_gpu, options, recompute) -> None:
    """Losses and gradients are on the GPU and in fp32, and the host never waits for them."""
    loss = _loss(backbone_on_gpu, recompute=recompute, **options)

    terms, gradient = loss.with_gradient(_images(PAIRS))

    assert gradient.shape == (PAIRS, 3, HEIGHT, WIDTH)
    assert {str(one.device) for one in (*_all_of(terms), gradient)} == {GPU}
    assert {one.dtype for one in (*_all_of(terms), gradient)} == {torch.float32}
    assert {one.shape for one in _all_of(terms)} == {(PAIRS,)}


def test_a_step_never_makes_the_host_wait(backbone_on_gpu) -> None:
    """Steps of L-BFGS, even with a full history, read no number from the GPU."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    optimizer = LBFGS(box.encode(_images(PAIRS)), history=2)

    for _ in range(4):
        terms, gradients = evaluate(loss, Canvas(box.decode(optimizer.point)), box, optimizer.point)
        optimizer.tell(terms.total, gradients)

    assert str(optimizer.point.device) == GPU
    with pytest.raises(DataDependentOutputException):
        terms.values()


class FromTheHost(TorchDispatchMode):
    """Records the operators that get a tensor on the CPU: the host would wait while it is copied to the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # as torch calls it
        if any(isinstance(one, Tensor) and one.device.type == "cpu" for one in args):
            self.operators.append(str(operator))
        return operator(*args, **kwargs or {})


@pytest.mark.parametrize("keeps_colours", [False, True], ids=["all colours", "luminance alone"])
def test_an_evaluation_takes_nothing_from_the_host(backbone_on_gpu, keeps_colours) -> None:
    """After the first evaluation everything it needs is on the GPU: a second evaluation uses no CPU tensor."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    canvas = Canvas(_images(PAIRS), None, keeps_colours)
    optimizer = LBFGS(box.encode(_images(PAIRS)), history=2)
    evaluate(loss, canvas, box, optimizer.point)

    with FromTheHost() as seen:
        terms, gradients = evaluate(loss, canvas, box, optimizer.point)
        optimizer.tell(terms.total, gradients)

    assert seen.operators == []


@pytest.mark.parametrize(("height", "width", "chunks"), [(512, 512, 32), (341, 512, 16), (66, 70, 1)])
def test_gram_sums_over_many_positions_use_many_processors_of_the_gpu(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, chunks: int
) -> None:
    """The sums of a large map are computed as many products side by side: a single one would occupy one processor.

    All have equally many positions, so that nothing is left over and no map is copied.
    """
    products: list[int] = []
    real = torch.bmm

    def counted(first: Tensor, second: Tensor, **how: torch.dtype) -> Tensor:
        products.append(len(first))
        return real(first, second, **how)

    monkeypatch.setattr(torch, "bmm", counted)
    for dtype in (torch.bfloat16, torch.float32):
        sums = gram_sums(torch.empty(PAIRS, 64, height, width, dtype=dtype, device=GPU))

        assert (sums.shape, sums.dtype, str(sums.device)) == ((PAIRS, 64, 64), torch.float32, GPU)
    assert products == [PAIRS * chunks] * 2


def test_keeping_some_of_the_pairs_stays_on_the_gpu(backbone_on_gpu) -> None:
    """After some pairs of a batch stopped, the others are evaluated on the GPU as before."""
    box = FourierBox(HEIGHT, WIDTH, GPU)
    loss = _loss(backbone_on_gpu)
    optimizer = LBFGS(box.encode(_images(PAIRS)))
    optimizer.tell(*_told(loss, box, optimizer))
    left = torch.tensor([2, 0], device=GPU)

    optimizer.keep(left)
    values, gradients = _told(loss.keep(left), box, optimizer)

    assert values.shape == (2,)
    assert str(gradients.device) == GPU


def _told(loss: PerceptualLoss, box: FourierBox, optimizer: LBFGS) -> tuple[Tensor, Tensor]:
    terms, gradients = evaluate(loss, Canvas(box.decode(optimizer.point)), box, optimizer.point)
    return terms.total, gradients
