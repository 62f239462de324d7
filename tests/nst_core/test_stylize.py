"""stylize: a batch of pairs of equal size at once, and the losses of a finished picture."""

import dataclasses
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nst_core.backbones.backbone import Backbone, wrap_network
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.errors import DivergedError, OptionsError, OutOfMemory, ShapeError
from nst_core.losses.perceptual import LossValues, PerceptualLoss, encode_content, encode_style
from nst_core.losses.regions import Regions
from nst_core.machine.memory import FEWEST_PAIRS_OF_HISTORY, MemoryPlan, base_bytes, plan_memory, predicted_bytes
from nst_core.optimize import StepReport, optimize
from nst_core.optimizers.lbfgs import HISTORY
from nst_core.options import StylizeOptions
from nst_core.pyramid import Refined
from nst_core.scene.pixels import to_picture, to_tensor
from nst_core.stylize import (
    StyleImage,
    StylizeRequest,
    StylizeResult,
    _better,
    _exact_loss,
    _scene,
    measure,
    prepare_style,
    stylize,
)

Picture = Callable[..., Tensor]

# Without a ReLU the objective is smooth. A kink, met by one of two paths that differ by rounding, sets them apart.
SMOOTH: dict[str, Any] = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate({"steps": 10, "plateau_tolerance": 0.0} | values).resolved()


class Pairs:
    """Makes requests for pairs of 32 x 28 px: pair n has content n and style 10 + n."""

    def __init__(self, backbone: Backbone, picture: Picture) -> None:
        self.backbone, self.picture = backbone, picture

    def request(self, number: int = 1, *, size: tuple[int, int] = (28, 32), **values: Any) -> StylizeRequest:
        options = make(**values)
        style = prepare_style(self.backbone, self.picture(32, 24, 10 + number), options)
        return StylizeRequest(self.picture(*size, number), style, options)

    def stylize(self, *requests: StylizeRequest, on_step: Any = None) -> list[StylizeResult]:
        results = stylize(requests, self.backbone, on_step)
        assert all(isinstance(result, StylizeResult) for result in results)
        return [result for result in results if isinstance(result, StylizeResult)]


@pytest.fixture
def pairs(backbone: Backbone, picture: Picture) -> Pairs:
    return Pairs(backbone, picture)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda image: image * 255.0, "from 0 to 1, found .*: divide levels of 8 bits by 255"),
        (lambda image: image * torch.nan, "from 0 to 1, found nan to nan$"),
        (lambda image: image - 0.5, "from 0 to 1, found -0[.0-9]* to 0[.0-9]*$"),
        (lambda image: image[0].permute(1, 2, 0), "of shape .1, 3, H, W., got .28, 32, 3.$"),
        (lambda image: image.permute(0, 2, 3, 1), "of shape .1, 3, H, W., got .1, 28, 32, 3.$"),
        (lambda image: image[:, :1], "of shape .1, 3, H, W., got .1, 1, 28, 32.$"),
        (lambda image: image.double(), "of torch.float32, got torch.float64$"),
        (lambda image: image.half(), "of torch.float32, got torch.float16$"),
        (lambda image: (image * 255.0).to(torch.uint8), "of torch.float32, got torch.uint8$"),
    ],
)
def test_what_is_no_image_is_refused(pairs: Pairs, changed: Callable[[Tensor], Tensor], said: str) -> None:
    """By its name, wherever it is handed in: other numbers would come out as a picture of noise."""
    request = pairs.request()
    wrong = changed(request.content)

    for what in ("content", "initial"):
        with pytest.raises(ShapeError, match=f"{what}: expected .*{said}"):
            stylize([dataclasses.replace(request, **{what: wrong})], pairs.backbone)
    with pytest.raises(ShapeError, match=f"style: expected .*{said}"):
        prepare_style(pairs.backbone, wrong, request.options)
    with pytest.raises(ShapeError, match=f"content: expected .*{said}"):
        prepare_style(pairs.backbone, request.content, make(colors="match"), wrong)
    with pytest.raises(ShapeError, match="expected"):
        measure(wrong, request, pairs.backbone)


def test_what_does_not_go_with_the_content_is_refused(pairs: Pairs) -> None:
    """A mask, a start or maps of another size, regions that the style has not, and options that are not resolved."""
    request, other = pairs.request(), torch.zeros(1, 1, 9, 9)
    for wrong, said in (
        ({"protected": other}, "protected: expected the content's size .28, 32., got .9, 9."),
        ({"protected": torch.zeros(1, 3, 28, 32)}, "protected: expected a tensor of shape .1, 1, H, W."),
        ({"initial": other.expand(1, 3, 9, 9)}, "initial: expected the content's size"),
        ({"regions": Regions(other)}, "regions: expected maps of the content's size .28, 32., got .9, 9."),
        ({"regions": Regions(torch.ones(1, 2, 28, 32))}, "the content has 2 regions, its style 1"),
    ):
        with pytest.raises(ShapeError, match=said):
            dataclasses.replace(request, **wrong)
    with pytest.raises(OptionsError, match="resolved"):
        dataclasses.replace(request, options=StylizeOptions())
    with pytest.raises(OptionsError, match="colors match: expected the pixels of a content"):
        prepare_style(pairs.backbone, request.content, make(colors="match"))
    with pytest.raises(OptionsError, match="a style has a picture"):
        prepare_style(pairs.backbone, [], request.options)


def test_gradients_and_memory_order_are_no_matter(pairs: Pairs) -> None:
    """Contents and starts that ask for gradients, that are views, or that were made in inference mode, do alike."""
    request = pairs.request(steps=2, **SMOOTH)
    (expected,) = pairs.stylize(request)
    with torch.inference_mode():
        inferred = request.content.clone()
    view = request.content.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)

    for content in (request.content.clone().requires_grad_(), view, inferred):
        (found,) = pairs.stylize(dataclasses.replace(request, content=content, initial=content))
        assert torch.equal(found.pastiche, expected.pastiche)
        assert not found.pastiche.requires_grad


def test_a_style_that_asks_for_gradients_is_no_matter(pairs: Pairs) -> None:
    """Not as what the optimisation starts from either."""
    options, request = make(steps=1, init="style"), pairs.request()
    other = request.style.pictures[0].image.clone().requires_grad_()
    style = prepare_style(pairs.backbone, other, options)

    (found,) = pairs.stylize(StylizeRequest(request.content, style, options))

    assert not found.pastiche.requires_grad


def test_no_pairs_have_no_results(pairs: Pairs) -> None:
    """As a list may be empty."""
    assert stylize([], pairs.backbone) == []


def direct_losses(backbone: Backbone, pixels: Tensor, content: Tensor, style: Tensor, options: Any) -> LossValues:
    """The losses of a picture from targets that are made anew."""
    targets = encode_content(backbone.exact, content, options), encode_style(backbone.exact, style, options)
    with torch.no_grad():
        return PerceptualLoss(backbone.exact, *targets, options)(pixels).values()[0]


# ---- What comes back


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_pastiche_is_a_picture(pairs: Pairs, optimizer: str) -> None:
    """A result is a finite picture in [0, 1] of the content's size, that is no longer the content image."""
    request = pairs.request(optimizer=optimizer)

    (result,) = pairs.stylize(request)

    assert result.pastiche.shape == (1, 3, 28, 32)
    assert result.pastiche.dtype == torch.float32
    assert 0.0 <= result.pastiche.min().item() < result.pastiche.max().item() <= 1.0
    assert (result.pastiche - request.content).abs().mean().item() > 0.01
    assert (result.steps, result.evaluations, result.stop_reason) == (10, 11, "steps")
    assert result.seconds > 0.0


def test_inputs_are_left_alone(pairs: Pairs, picture: Picture) -> None:
    """Content, style and target are the same after a pair was stylized as before."""
    request = pairs.request()
    target = {layer: gram.clone() for layer, gram in request.style.target.items()}

    pairs.stylize(request)

    assert torch.equal(request.content, picture(28, 32, 1))
    assert torch.equal(request.style.pictures[0].image, picture(32, 24, 11))
    assert all(torch.equal(request.style.target[layer], gram) for layer, gram in target.items())


@pytest.mark.parametrize("init", ["content", "style", "noise"])
def test_initial_losses(pairs: Pairs, picture: Picture, init: str) -> None:
    """`initial` has the losses of what the optimisation started from."""
    request = pairs.request(init=init, steps=1, tv_weight=0.1)
    starts = {
        "content": request.content,
        "style": torch.nn.functional.interpolate(picture(32, 24, 11), (28, 32), mode="bilinear", antialias=True),
        "noise": None,
    }
    seen: list[StepReport] = []

    (result,) = pairs.stylize(request, on_step=seen.append)

    start = starts[init]
    if start is not None:
        assert vars(result.initial) == pytest.approx(vars(measure(start, request, pairs.backbone)), rel=1e-4)
    assert vars(seen[0].losses) == pytest.approx(vars(result.initial), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("weight", [1.0, 1e9])
@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_nothing_ends_worse_than_it_began(pairs: Pairs, recipe: str, optimizer: str, weight: float) -> None:
    """Whatever recipe, optimizer and weight: the saved picture's total is finite and not above the start's."""
    request = pairs.request(recipe=recipe, optimizer=optimizer, style_weight=weight, steps=8)

    (result,) = pairs.stylize(request)

    final = measure(result.pastiche, request, pairs.backbone)
    assert all(map(math.isfinite, vars(final).values()))
    assert final.total <= result.initial.total * (1.0 + 1e-4)


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_every_recipe_gains_with_its_own_defaults(pairs: Pairs, recipe: str) -> None:
    """As published, every recipe brings the loss down within a few steps."""
    request = pairs.request(recipe=recipe, steps=15)

    (result,) = pairs.stylize(request)

    assert measure(result.pastiche, request, pairs.backbone).total < 0.9 * result.initial.total


# ---- Batches


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_batch_mates_do_not_matter(pairs: Pairs, optimizer: str) -> None:
    """After ten steps a pastiche is, but for rounding, the same alone and with a batch mate of another style."""
    requests = [pairs.request(number, optimizer=optimizer, **SMOOTH) for number in (1, 2)]

    together = pairs.stylize(*requests)

    for request, result in zip(requests, together, strict=True):
        (alone,) = pairs.stylize(request)
        moved = (alone.pastiche - request.content).abs().mean().item()
        assert (result.pastiche - alone.pastiche).abs().mean().item() < 0.01 * moved
        assert vars(result.initial) == pytest.approx(vars(alone.initial), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_batch_mates_do_not_matter_to_the_loss(pairs: Pairs, optimizer: str) -> None:
    """Through all of the network's kinks, too, a pair comes to the same loss alone and with a batch mate."""
    requests = [pairs.request(number, optimizer=optimizer) for number in (1, 2)]

    together = pairs.stylize(*requests)

    for request, result in zip(requests, together, strict=True):
        (alone,) = pairs.stylize(request)
        totals = [measure(one.pastiche, request, pairs.backbone).total for one in (result, alone)]
        assert totals[0] == pytest.approx(totals[1], rel=0.02)
        assert totals[0] < 0.9 * alone.initial.total


def test_results_come_in_the_order_of_requests(pairs: Pairs) -> None:
    """Each result belongs to the request in its place, even when a later one stops first."""
    totals = {
        number: measure(pairs.picture(28, 32, number), pairs.request(number), pairs.backbone) for number in (1, 2)
    }
    slow, fast = sorted(totals, key=lambda number: totals[number].total, reverse=True)
    between = (totals[slow].total + totals[fast].total) / 2.0

    results = pairs.stylize(*(pairs.request(number, loss_threshold=between) for number in (slow, fast)))

    assert results[0].evaluations > results[1].evaluations == 1
    for number, result in zip((slow, fast), results, strict=True):
        assert result.initial.total == pytest.approx(totals[number].total, rel=1e-4)
        assert (result.pastiche - pairs.picture(28, 32, number)).abs().mean().item() < 0.1


def test_seeds_may_differ_in_a_batch(pairs: Pairs) -> None:
    """Pairs of a batch may have seeds of their own: each gets the noise of its seed."""
    requests = [pairs.request(1, init="noise", seed=seed, steps=2) for seed in (3, 4, 3)]

    first, other, again = pairs.stylize(*requests)

    torch.testing.assert_close(first.pastiche, again.pastiche, rtol=0.0, atol=1e-4)
    assert (first.pastiche - other.pastiche).abs().mean().item() > 0.01


def test_the_same_seed_is_the_same_picture(pairs: Pairs) -> None:
    """Stylized again from the same noise, a pair gives the same pastiche bit for bit."""
    first, second = (pairs.stylize(pairs.request(init="noise", seed=5))[0] for _ in range(2))

    assert torch.equal(first.pastiche, second.pastiche)


@pytest.mark.parametrize("size", [(28, 36), (32, 28)])
def test_unequal_sizes_are_refused(pairs: Pairs, size: tuple[int, int]) -> None:
    """Pairs of unequal size are no batch; both sizes are named."""
    with pytest.raises(ShapeError, match=rf"equal size, got \(1, 3, 28, 32\) and \(1, 3, {size[0]}, {size[1]}\)"):
        stylize([pairs.request(1), pairs.request(2, size=size)], pairs.backbone)


def test_options_that_mean_the_same_are_a_batch(pairs: Pairs) -> None:
    """However they were said: a strength of a half is the usual weight, and quality adds nothing to what is given."""
    plain, dialled = pairs.request(1, steps=1), pairs.request(2, steps=1, strength=0.5, quality="best")

    assert len(pairs.stylize(plain, dialled)) == 2


@pytest.mark.parametrize("changes", [{"steps": 11}, {"style_weight": 31}, {"init": "noise"}, {"optimizer": "adam"}])
def test_unequal_options_are_refused(pairs: Pairs, changes: dict[str, Any]) -> None:
    """Pairs with unequal options, the seed apart, are no batch."""
    with pytest.raises(ShapeError, match="equal options; only the seed may differ"):
        stylize([pairs.request(1), pairs.request(2, **changes)], pairs.backbone)


def test_pairs_of_other_levels_are_refused(pairs: Pairs) -> None:
    """How many levels a pair has would else depend on its mates: on a tiny style, or on a picture to start from."""
    request = pairs.request(1, size=(512, 16), levels=None, **SMOOTH)
    started = dataclasses.replace(request, initial=request.content)
    tiny = dataclasses.replace(request, style=prepare_style(pairs.backbone, pairs.picture(3, 3, 7), request.options))

    for mate in (started, tiny):
        with pytest.raises(ShapeError, match="equally many levels"):
            stylize([request, mate], pairs.backbone)


def test_every_pair_and_evaluation_is_reported(pairs: Pairs) -> None:
    """`on_step` hears of both pairs of a batch as often as they were evaluated."""
    reports: list[StepReport] = []

    results = pairs.stylize(pairs.request(1), pairs.request(2), on_step=reports.append)

    for pair, result in enumerate(results):
        assert sum(report.pair == pair for report in reports) == result.evaluations == 11


def test_one_style_image_serves_many_pairs(pairs: Pairs) -> None:
    """A style that is encoded once and used twice gives what it gives encoded for each pair."""
    shared = pairs.request(1, **SMOOTH).style
    requests = [StylizeRequest(pairs.picture(28, 32, number), shared, make(**SMOOTH)) for number in (1, 2)]

    results = pairs.stylize(*requests)

    own = pairs.stylize(pairs.request(1, **SMOOTH))[0]
    torch.testing.assert_close(results[0].pastiche, own.pastiche, rtol=0.0, atol=0.01)


# ---- What goes wrong


def test_a_diverged_pair_is_an_error_in_its_place(pairs: Pairs) -> None:
    """A pair whose loss is not finite gives an error where its result would be; the pair beside it is well."""
    request, other = pairs.request(1, **SMOOTH), pairs.request(2, **SMOOTH)
    target = {layer: gram * torch.inf for layer, gram in request.style.target.items()}
    ill = StylizeRequest(request.content, StyleImage(request.style.pictures, target), request.options)

    error, result = stylize([ill, other], pairs.backbone)

    assert isinstance(error, DivergedError)
    assert isinstance(result, StylizeResult)
    (alone,) = pairs.stylize(other)
    torch.testing.assert_close(result.pastiche, alone.pastiche, rtol=0.0, atol=0.01)


@pytest.mark.parametrize(
    ("optimizer", "advice"),
    [("lbfgs", "Try lower weights$"), ("adam", "Try lower weights, a lower learning rate or optimizer lbfgs$")],
)
def test_a_network_of_infinite_weights(
    convolutions: Convolutions, picture: Picture, optimizer: str, advice: str
) -> None:
    """With infinite weights every pair is a DivergedError that says when, with what, and what to try."""
    ill = convolutions | {"conv2_1": (torch.full((128, 64, 3, 3), torch.inf), torch.zeros(128))}
    pairs = Pairs(wrap_network(VGG("vgg19", ill), "ill", "0" * 64), picture)

    results = stylize([pairs.request(number, optimizer=optimizer) for number in (1, 2)], pairs.backbone)

    assert [type(result) for result in results] == [DivergedError, DivergedError]
    with pytest.raises(DivergedError, match=f"after 1 evaluations of 10 .*recipe relative, {optimizer}.*{advice}"):
        raise results[0]


def test_a_picture_too_small_for_a_layer(pairs: Pairs) -> None:
    """A picture that leaves no position at the deepest layer is refused with the layer's name."""
    with pytest.raises(OptionsError, match="layer relu5_1 needs at least 16 px"):
        stylize([pairs.request(1, size=(12, 40))], pairs.backbone)


# A view of one pixel: only a copy of it, or its features, need the memory, three terabytes.
VAST = torch.zeros(1, 3, 1, 1).expand(1, 3, 16, 2**34)

Task = Callable[[Pairs, StylizeRequest], Any]

TASKS: dict[str, Task] = {
    "stylize": lambda pairs, request: stylize([request], pairs.backbone),
    "prepare_style": lambda pairs, request: prepare_style(pairs.backbone, request.content, request.options),
    "measure": lambda pairs, request: measure(request.content, request, pairs.backbone),
}


@pytest.mark.parametrize("task", TASKS)
def test_more_than_the_memory_holds(pairs: Pairs, task: str) -> None:
    """What no memory holds is an OutOfMemory that names the size and the device."""
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
def test_room_is_asked_for_all_of_a_pair(pairs: Pairs, options: dict[str, Any], guides: dict[str, Any]) -> None:
    """Where the pictures alone would just fit, one with maps, or with luminance alone, is refused beforehand."""
    plain = pairs.request()
    network, height, width = pairs.backbone, *plain.content.shape[2:]
    smallest = plan_memory(width, height, 1, network, 0)
    free = predicted_bytes(width, height, smallest, network) - base_bytes(network)

    stylize([plain], network, free=free)
    with pytest.raises(OutOfMemory, match="takes at least"):
        stylize([dataclasses.replace(plain, options=make(**options), **guides)], network, free=free)


@pytest.mark.parametrize("task", TASKS)
def test_a_memory_error_lets_go_of_what_failed(pairs: Pairs, task: str) -> None:
    """While an OutOfMemory is handled, the tensors of the failed call are free, for a smaller batch to be tried."""
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


def test_another_error_stays_what_it_is(pairs: Pairs) -> None:
    """A RuntimeError that has nothing to do with memory is not taken for one."""
    request = pairs.request(1)
    target = {layer: gram.to(torch.complex64) for layer, gram in request.style.target.items()}
    broken = StylizeRequest(request.content, StyleImage(request.style.pictures, target), request.options)

    with pytest.raises(RuntimeError) as caught:
        stylize([broken], pairs.backbone)

    assert not isinstance(caught.value, OutOfMemory)


# ---- Measuring


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_measure(pairs: Pairs, picture: Picture, recipe: str) -> None:
    """Measured are the losses of the 8-bit picture against targets made from the pair's images."""
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
    """A backbone with a fast bf16 network measures what the fp32 one does."""
    fast = wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16")
    request = pairs.request()
    pixels = pairs.picture(28, 32, 7)

    assert measure(pixels, request, fast) == measure(pixels, request, pairs.backbone)


@pytest.mark.parametrize("init", ["content", "noise"])
def test_measure_takes_a_known_content_target(pairs: Pairs, init: str) -> None:
    """With the content target that comes with a pastiche a picture has the losses it has without."""
    requests = [pairs.request(number, init=init, steps=1) for number in (1, 2)]

    for result, request in zip(pairs.stylize(*requests), requests, strict=True):
        pixels = pairs.picture(28, 32, 7)
        expected = measure(pixels, request, pairs.backbone)
        assert vars(measure(pixels, request, pairs.backbone, result.content)) == pytest.approx(vars(expected), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 28, 33), (3, 28, 32), (2, 3, 28, 32)])
def test_measure_takes_the_contents_shape(pairs: Pairs, shape: tuple[int, ...]) -> None:
    """A picture of another shape than the content's is refused with both."""
    with pytest.raises(ShapeError, match=r"expected a picture of shape \(1, 3, 28, 32\)"):
        measure(torch.zeros(shape), pairs.request(), pairs.backbone)


# ---- Fast networks and the real one


def test_bf16_follows_fp32(convolutions: Convolutions, pairs: Pairs) -> None:
    """Optimised with bf16 features, a pair ends at about the loss that it has with fp32 ones."""
    fast = Pairs(wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16"), pairs.picture)
    request = pairs.request(steps=30)
    (exact,), (rounded,) = pairs.stylize(request), fast.stylize(request)

    totals = [measure(result.pastiche, request, pairs.backbone).total for result in (exact, rounded)]

    assert totals[0] < 0.7 * exact.initial.total
    assert totals[1] == pytest.approx(totals[0], rel=0.1)


def test_the_real_network_stylizes(real_vgg19: Backbone, picture: Picture) -> None:
    """With VGG-19, 30 evaluations of the default recipe at 64 px bring the saved picture's loss under half."""
    options = make(steps=29)
    request = StylizeRequest(
        picture(48, 64, 1), prepare_style(real_vgg19, picture(64, 64, 2, strength=6.0), options), options
    )

    (result,) = stylize([request], real_vgg19)

    assert isinstance(result, StylizeResult)
    assert result.evaluations == 30
    final = measure(to_tensor(to_picture(result.pastiche)), request, real_vgg19)
    assert final.total < 0.5 * result.initial.total


def test_the_threshold_is_one_for_the_saved_picture(pairs: Pairs) -> None:
    """A pair that stopped at the threshold has a picture of 8 bits whose loss meets it."""
    request = pairs.request(steps=200)
    threshold = 0.6 * measure(request.content, request, pairs.backbone).total
    options = request.options.model_copy(update={"loss_threshold": threshold})
    request = StylizeRequest(request.content, request.style, options)

    (result,) = pairs.stylize(request)
    saved = to_tensor(to_picture(result.pastiche))

    assert result.stop_reason == "threshold"
    assert measure(saved, request, pairs.backbone).total <= threshold


# ---- In little memory


class Noting(ScheduledVGG):
    """The network, which notes whether it was asked to make its maps twice."""

    def __init__(self, network: VGG) -> None:
        super().__init__(network)
        self.asked: list[bool] = []

    def recomputing(self, *, recompute: bool) -> ScheduledVGG:
        self.asked.append(recompute)
        return super().recomputing(recompute=recompute)


def test_frugal_gives_the_same_in_less_memory(pairs: Pairs) -> None:
    """Asked to be frugal, maps are made twice whatever memory there is; the pastiche is the same but for rounding."""
    noting = Noting(pairs.backbone.exact)
    backbone = dataclasses.replace(pairs.backbone, fast=noting)
    request = pairs.request(steps=4, **SMOOTH)
    (plain,) = stylize([request], backbone)
    (frugal,) = stylize([request], backbone, free=0)

    assert noting.asked == [False, True]
    assert isinstance(plain, StylizeResult)
    assert isinstance(frugal, StylizeResult)
    assert (plain.pastiche - frugal.pastiche).abs().max().item() < 1e-3


def test_frugal_keeps_fewer_pairs(pairs: Pairs) -> None:
    """After a dozen steps a frugal pastiche is that of L-BFGS with the shortest history, not with the usual one."""
    request = pairs.request(steps=12, **SMOOTH)
    network, options = pairs.backbone.exact, request.options
    loss = PerceptualLoss(network, encode_content(network, request.content, options), request.style.target, options)
    short, usual = (
        optimize(request.content, loss, options, plan=MemoryPlan(1, recompute=False, history=history))[0].pastiche
        for history in (FEWEST_PAIRS_OF_HISTORY, HISTORY)
    )

    (frugal,) = stylize([request], pairs.backbone, free=0)

    assert isinstance(frugal, StylizeResult)
    assert (frugal.pastiche - short).abs().max().item() < 1e-3 < (frugal.pastiche - usual).abs().max().item()


def test_a_coarse_start_that_is_worse_is_not_taken(pairs: Pairs) -> None:
    """Each pair begins where its loss at full size is lower: where the coarse levels led, or at its initial image."""
    requests = [pairs.request(number) for number in (1, 2)]
    scene = _scene(requests, pairs.backbone)
    initial = scene.contents
    exact, before = _exact_loss(scene, None, pairs.backbone)
    better = pairs.stylize(requests[0])[0].pastiche
    refined = Refined(initial, torch.cat([better, 1.0 - initial[1:]]), ((), ()))
    start = refined.start(initial)
    assert exact(start).total[0] < before.total[0]
    assert exact(start).total[1] > before.total[1]

    chosen = _better(exact, scene, refined, initial, before.total)

    assert torch.equal(chosen, torch.cat([start[:1], initial[1:]]))
