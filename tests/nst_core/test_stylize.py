"""stylize: a batch of pairs of equal size."""

import dataclasses
import math

import pytest
import torch

from nst_core.backbones.backbone import Backbone, wrap_network
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.batch import scene_of
from nst_core.errors import DivergedError, OptionsError
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content
from nst_core.machine.footprint import MemoryPlan
from nst_core.machine.memory import FEWEST_PAIRS_OF_HISTORY
from nst_core.measure import measure
from nst_core.optimize import StepReport, optimize
from nst_core.optimizers.lbfgs import HISTORY
from nst_core.prepare import prepare_style
from nst_core.pyramid import Refined
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.pixels import to_picture, to_tensor
from nst_core.scene.styles import StyleImage
from nst_core.stylize import _better, _exact_loss, stylize
from tests.nst_core.pairs import SMOOTH, Pairs, Picture, make


def test_gradients_and_memory_order_of_images_do_not_matter(pairs: Pairs) -> None:
    """Images that require gradients, are views or were made in inference mode give the same pastiche, without one."""
    request = pairs.request(steps=2, **SMOOTH)
    (expected,) = pairs.stylize(request)
    with torch.inference_mode():
        inferred = request.content.clone()
    view = request.content.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)

    for content in (request.content.clone().requires_grad_(), view, inferred):
        (found,) = pairs.stylize(dataclasses.replace(request, content=content, initial=content))
        assert torch.equal(found.pastiche, expected.pastiche)
        assert not found.pastiche.requires_grad


def test_a_style_that_requires_gradients_gives_a_pastiche_without(pairs: Pairs) -> None:
    """A style image that requires gradients gives a pastiche that does not, even as the start of the optimisation."""
    options, request = make(steps=1, init="style"), pairs.request()
    other = request.style.pictures[0].image.clone().requires_grad_()
    style = prepare_style(pairs.backbone, other, options)

    (found,) = pairs.stylize(StylizeRequest(request.content, style, options))

    assert not found.pastiche.requires_grad


def test_no_pairs_have_no_results(pairs: Pairs) -> None:
    """An empty list of pairs gives an empty list of results."""
    assert stylize([], pairs.backbone) == []


# ---- Results


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_pastiche_is_a_changed_image_of_the_contents_size(pairs: Pairs, optimizer: str) -> None:
    """A pastiche is an fp32 image in [0, 1] of the content's size that differs from the content image."""
    request = pairs.request(optimizer=optimizer)

    (result,) = pairs.stylize(request)

    assert result.pastiche.shape == (1, 3, 28, 32)
    assert result.pastiche.dtype == torch.float32
    assert 0.0 <= result.pastiche.min().item() < result.pastiche.max().item() <= 1.0
    assert (result.pastiche - request.content).abs().mean().item() > 0.01
    assert (result.steps, result.evaluations, result.stop_reason) == (10, 11, "steps")
    assert result.seconds > 0.0


def test_inputs_are_not_changed(pairs: Pairs, picture: Picture) -> None:
    """Stylizing a pair changes neither its content image nor its style image and target."""
    request = pairs.request()
    target = {layer: gram.clone() for layer, gram in request.style.target.items()}

    pairs.stylize(request)

    assert torch.equal(request.content, picture(28, 32, 1))
    assert torch.equal(request.style.pictures[0].image, picture(32, 24, 11))
    assert all(torch.equal(request.style.target[layer], gram) for layer, gram in target.items())


@pytest.mark.parametrize("init", ["content", "style", "noise"])
def test_initial_losses(pairs: Pairs, picture: Picture, init: str) -> None:
    """`initial` has the losses of the image from which the optimisation started."""
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
def test_no_pastiche_ends_worse_than_its_start(pairs: Pairs, recipe: str, optimizer: str, weight: float) -> None:
    """With every recipe, optimizer and weight the losses are finite and the total is not above the start's."""
    request = pairs.request(recipe=recipe, optimizer=optimizer, style_weight=weight, steps=8)

    (result,) = pairs.stylize(request)

    final = measure(result.pastiche, request, pairs.backbone)
    assert all(map(math.isfinite, vars(final).values()))
    assert final.total <= result.initial.total * (1.0 + 1e-4)


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_every_recipe_lowers_the_loss_with_its_defaults(pairs: Pairs, recipe: str) -> None:
    """With its default weights and optimizer every recipe lowers the loss by a tenth within 15 steps."""
    request = pairs.request(recipe=recipe, steps=15)

    (result,) = pairs.stylize(request)

    assert measure(result.pastiche, request, pairs.backbone).total < 0.9 * result.initial.total


# ---- Errors


def test_a_diverged_pair_is_an_error_in_its_place(pairs: Pairs) -> None:
    """A pair whose loss is not finite gives an error in the place of its result; the other pair is unaffected."""
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
def test_a_network_with_infinite_weights_diverges(
    convolutions: Convolutions, picture: Picture, optimizer: str, advice: str
) -> None:
    """With infinite weights every pair gives a DivergedError that names the evaluation, the options and a remedy."""
    ill = convolutions | {"conv2_1": (torch.full((128, 64, 3, 3), torch.inf), torch.zeros(128))}
    pairs = Pairs(wrap_network(VGG("vgg19", ill), "ill", "0" * 64), picture)

    results = stylize([pairs.request(number, optimizer=optimizer) for number in (1, 2)], pairs.backbone)

    assert [type(result) for result in results] == [DivergedError, DivergedError]
    with pytest.raises(DivergedError, match=f"after evaluation 1 of 10 .*recipe relative, {optimizer}.*{advice}"):
        raise results[0]


def test_an_image_too_small_for_a_layer_is_refused(pairs: Pairs) -> None:
    """An image that leaves no position at the deepest layer is refused with the layer's name and its smallest side."""
    with pytest.raises(OptionsError, match="layer relu5_1 needs at least 16 px"):
        stylize([pairs.request(1, size=(12, 40))], pairs.backbone)


# ---- bf16, the published VGG-19 and the threshold


def test_bf16_follows_fp32(convolutions: Convolutions, pairs: Pairs) -> None:
    """With a network in bf16 a pair reaches the loss that it reaches in fp32, to within a tenth."""
    fast = Pairs(wrap_network(VGG("vgg19", convolutions), "random", "0" * 64, precision="bf16"), pairs.picture)
    request = pairs.request(steps=30)
    (exact,), (rounded,) = pairs.stylize(request), fast.stylize(request)

    totals = [measure(result.pastiche, request, pairs.backbone).total for result in (exact, rounded)]

    assert totals[0] < 0.7 * exact.initial.total
    assert totals[1] == pytest.approx(totals[0], rel=0.1)


def test_the_real_network_stylizes(real_vgg19: Backbone, picture: Picture) -> None:
    """With VGG-19, 30 evaluations of the default recipe at 64 px more than halve the loss of the saved image."""
    options = make(steps=29)
    request = StylizeRequest(
        picture(48, 64, 1), prepare_style(real_vgg19, picture(64, 64, 2, strength=6.0), options), options
    )

    (result,) = stylize([request], real_vgg19)

    assert isinstance(result, StylizeResult)
    assert result.evaluations == 30
    final = measure(to_tensor(to_picture(result.pastiche)), request, real_vgg19)
    assert final.total < 0.5 * result.initial.total


def test_the_threshold_is_met_by_the_saved_image(pairs: Pairs) -> None:
    """When a pair stops at the threshold, the loss of its 8-bit image meets it."""
    request = pairs.request(steps=200)
    threshold = 0.6 * measure(request.content, request, pairs.backbone).total
    options = request.options.model_copy(update={"loss_threshold": threshold})
    request = StylizeRequest(request.content, request.style, options)

    (result,) = pairs.stylize(request)
    saved = to_tensor(to_picture(result.pastiche))

    assert result.stop_reason == "threshold"
    assert measure(saved, request, pairs.backbone).total <= threshold


# ---- Little memory


class RecordingNetwork(ScheduledVGG):
    """The network, which records whether it has to recompute its feature maps."""

    def __init__(self, network: VGG) -> None:
        super().__init__(network)
        self.recomputed: list[bool] = []

    def recomputing(self, *, recompute: bool) -> ScheduledVGG:
        self.recomputed.append(recompute)
        return super().recomputing(recompute=recompute)


def test_the_smallest_plan_recomputes_feature_maps(pairs: Pairs) -> None:
    """With `free=0`, the smallest plan, feature maps are recomputed; the pastiche is the same except for rounding."""
    recording = RecordingNetwork(pairs.backbone.exact)
    backbone = dataclasses.replace(pairs.backbone, fast=recording)
    request = pairs.request(steps=4, **SMOOTH)
    (plain,) = stylize([request], backbone)
    (frugal,) = stylize([request], backbone, free=0)

    assert recording.recomputed == [False, True]
    assert isinstance(plain, StylizeResult)
    assert isinstance(frugal, StylizeResult)
    assert (plain.pastiche - frugal.pastiche).abs().max().item() < 1e-3


def test_the_smallest_plan_has_the_shortest_history(pairs: Pairs) -> None:
    """With `free=0`, the smallest plan, the pastiche after 12 steps is that of L-BFGS with the shortest history."""
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


def test_a_worse_start_from_the_coarse_levels_is_discarded(pairs: Pairs) -> None:
    """Each pair starts from the better image at full size: the one from the coarse levels or its initial image."""
    requests = [pairs.request(number) for number in (1, 2)]
    scene = scene_of(requests, pairs.backbone)
    initial = scene.contents
    exact, before = _exact_loss(scene, None, pairs.backbone)
    better = pairs.stylize(requests[0])[0].pastiche
    refined = Refined(initial, torch.cat([better, 1.0 - initial[1:]]), ((), ()))
    start = refined.start(initial)
    assert exact(start).total[0] < before.total[0]
    assert exact(start).total[1] > before.total[1]

    chosen = _better(exact, scene, refined, initial, before.total)

    assert torch.equal(chosen, torch.cat([start[:1], initial[1:]]))
