"""optimize: the loop for every optimizer and objective: when it stops, what it reports and what it returns."""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import Convolutions
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.losses.values import LossValues
from nst_core.optimize import Outcome, StepReport, evaluate, optimize
from nst_core.optimizers.coordinates import NormalisedPixels
from nst_core.options import StylizeOptions
from nst_core.scene.canvas import Canvas

Picture = Callable[..., Tensor]

# Shallow layers: an evaluation of two pastiches of 32 px takes a few milliseconds.
SHALLOW: dict[str, Any] = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}

# Without a ReLU the objective is smooth. At a kink, two paths that differ only by rounding would part.
SMOOTH: dict[str, Any] = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate(SHALLOW | {"plateau_tolerance": 0.0} | values).resolved()


class Batch:
    """Pairs of content images 1, 2, ..., of 32 x 28 px, which are also the start, and style images 11, 12, ..."""

    def __init__(self, network: VGG, picture: Picture, numbers: tuple[int, ...] = (1, 2)) -> None:
        self.network = network
        self.contents = torch.cat([picture(28, 32, number) for number in numbers])
        self.styles = torch.cat([picture(24, 24, 10 + number) for number in numbers])

    def loss(self, options: StylizeOptions) -> PerceptualLoss:
        content = encode_content(self.network, self.contents, options)
        return PerceptualLoss(self.network, content, encode_style(self.network, self.styles, options), options)

    def optimize(
        self, options: StylizeOptions, on_step: Callable[[StepReport], None] | None = None, **others: Any
    ) -> list[Outcome]:
        return optimize(self.contents, self.loss(options), options, on_step, **others)

    def losses_of(self, pastiches: Tensor, options: StylizeOptions) -> list[LossValues]:
        with torch.no_grad():
            return self.loss(options)(pastiches).values()


@pytest.fixture
def batch(backbone: Backbone, picture: Picture) -> Batch:
    return Batch(backbone.exact, picture)


@pytest.fixture
def single(backbone: Backbone, picture: Picture) -> Batch:
    return Batch(backbone.exact, picture, (1,))


# ---- When the loop stops


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_steps(batch: Batch, optimizer: str, steps: int) -> None:
    """The optimisation ends after `steps` steps, with one evaluation more: that of the start."""
    outcomes = batch.optimize(make(optimizer=optimizer, steps=steps))

    assert [outcome.stop_reason for outcome in outcomes] == ["steps", "steps"]
    assert [outcome.evaluations for outcome in outcomes] == [steps + 1, steps + 1]
    assert [outcome.steps for outcome in outcomes] == [steps, steps]


def test_rejected_steps_cost_evaluations(single: Batch) -> None:
    """Steps that L-BFGS rejects count as evaluations against the limit, but not as steps."""
    steps: list[int] = []

    (outcome,) = single.optimize(
        make(recipe="gatys", style_weight=1.0, steps=12), on_step=lambda report: steps.append(report.step)
    )

    assert outcome.evaluations == 13
    assert outcome.steps == steps[-1] < 12
    assert steps == sorted(steps)


def test_threshold(single: Batch) -> None:
    """The first evaluation at or below the threshold ends the optimisation."""
    first = single.losses_of(single.contents, make())[0].total
    seen: list[float] = []

    (outcome,) = single.optimize(
        make(loss_threshold=0.5 * first, steps=100), on_step=lambda report: seen.append(report.losses.total)
    )

    assert outcome.stop_reason == "threshold"
    assert outcome.losses.total == seen[-1] <= 0.5 * first
    assert min(seen[:-1]) > 0.5 * first
    assert outcome.evaluations == len(seen) < 100


def test_a_start_below_the_threshold_is_not_changed(single: Batch) -> None:
    """Where the start is below the threshold, the optimisation ends after one evaluation with the start."""
    (outcome,) = single.optimize(make(loss_threshold=1e9))

    assert (outcome.stop_reason, outcome.evaluations, outcome.steps) == ("threshold", 1, 0)
    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_settled(single: Batch, optimizer: str) -> None:
    """The optimisation ends at the first evaluation at which the best loss fell too little over the window."""
    seen: list[float] = []

    (outcome,) = single.optimize(
        make(optimizer=optimizer, plateau_tolerance=0.3, plateau_window=4, steps=200),
        on_step=lambda report: seen.append(report.losses.total),
    )

    best = [min(seen[: count + 1]) for count in range(len(seen))]
    fell_enough = [best[count - 4] - best[count] >= 0.3 * best[count - 4] for count in range(4, len(seen))]
    assert outcome.stop_reason == "settled"
    assert fell_enough == [True] * (len(fell_enough) - 1) + [False]


def test_a_tolerance_of_0_never_settles(single: Batch) -> None:
    """With a tolerance of 0 all steps are taken, however flat the loss becomes."""
    options = make(optimizer="adam", learning_rate=1e-9, plateau_window=2, steps=12)

    (flat,) = single.optimize(options)
    (stopped,) = single.optimize(options.overridden({"plateau_tolerance": 0.001}))

    assert (flat.stop_reason, flat.evaluations) == ("steps", 13)
    assert (stopped.stop_reason, stopped.evaluations) == ("settled", 3)


def test_time(batch: Batch) -> None:
    """A time budget that is used up ends the optimisation after the evaluation in progress."""
    outcomes = batch.optimize(make(max_seconds=1e-9))

    assert [(outcome.stop_reason, outcome.evaluations) for outcome in outcomes] == [("time", 1), ("time", 1)]


def test_a_time_budget_is_used(single: Batch) -> None:
    """With a budget of 0.2 s the optimisation evaluates more than once and ends after 0.2 s, within 2 s."""
    (outcome,) = single.optimize(make(max_seconds=0.2, steps=100_000))

    assert outcome.stop_reason == "time"
    assert 0.2 <= outcome.seconds < 2.0
    assert outcome.evaluations > 1


def test_a_loss_of_0_is_settled(convolutions: Convolutions, picture: Picture) -> None:
    """A loss of exactly 0 ends the optimisation as settled, because it cannot fall further."""
    blank = {name: (torch.zeros_like(weight), torch.zeros_like(bias)) for name, (weight, bias) in convolutions.items()}

    (outcome,) = Batch(VGG("vgg19", blank), picture, (1,)).optimize(make(loss_threshold=1e-9))

    assert (outcome.stop_reason, outcome.evaluations, outcome.losses.total) == ("settled", 1, 0.0)


@pytest.mark.parametrize("few_shapes", [False, True])
def test_each_pastiche_stops_by_itself(backbone: Backbone, picture: Picture, few_shapes: bool) -> None:
    """In a batch with a threshold, every pastiche ends at the evaluation at which it ends alone."""
    together = Batch(backbone.exact, picture, (1, 2, 3, 4))  # with few shapes the first to stop is not removed at once
    first = min(one.total for one in together.losses_of(together.contents, make(**SMOOTH)))
    options = make(loss_threshold=0.1 * first, **SMOOTH)
    reports: list[StepReport] = []

    outcomes = together.optimize(options, reports.append, few_shapes=few_shapes)
    alone = [Batch(backbone.exact, picture, (number,)).optimize(options)[0] for number in (1, 2, 3, 4)]

    counts = [outcome.evaluations for outcome in outcomes]
    assert counts == [outcome.evaluations for outcome in alone]
    assert len(set(counts)) > 1
    assert [sum(report.pair == pair for report in reports) for pair in range(4)] == counts
    for one, other in zip(outcomes, alone, strict=True):
        assert one.stop_reason == other.stop_reason == "threshold"
        torch.testing.assert_close(one.pastiche, other.pastiche, rtol=0.0, atol=1e-3)


class RecordingCanvas(Canvas):
    """A canvas that records how many pastiches are evaluated together."""

    sizes: ClassVar[list[int]] = []

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        self.sizes.append(len(gradient))
        return super().pull_back(image, gradient)

    def keep(self, index: Tensor) -> Canvas:
        return RecordingCanvas(super().keep(index).contents)


@pytest.mark.parametrize(("few_shapes", "most"), [(False, [5, 4, 3, 2, 1]), (True, [5, 3, 2, 1])])
def test_a_batch_shrinks_at_once_or_by_halves(
    backbone: Backbone, picture: Picture, few_shapes: bool, most: list[int]
) -> None:
    """Without `few_shapes` a pastiche leaves the batch when it stops; with it the batch shrinks only by halves."""
    numbers = (1, 2, 3, 4, 5)
    together = Batch(backbone.exact, picture, numbers)
    firsts = sorted(one.total for one in together.losses_of(together.contents, make()))
    options = make(loss_threshold=0.25 * firsts[2], steps=40)
    RecordingCanvas.sizes.clear()

    outcomes = together.optimize(options, canvas=RecordingCanvas(together.contents), few_shapes=few_shapes)
    evaluations = sorted((outcome.evaluations for outcome in outcomes), reverse=True)
    at_work = [sum(one > done for one in evaluations) for done in range(evaluations[0])]

    assert len(set(evaluations)) > 2
    assert len(RecordingCanvas.sizes) == evaluations[0]
    assert set(RecordingCanvas.sizes) <= set(most)
    assert RecordingCanvas.sizes == [min(size for size in most if size >= left) for left in at_work]


# ---- Step reports and outcomes


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_every_evaluation_is_reported_once(batch: Batch, optimizer: str) -> None:
    """`on_step` gets each evaluation of each pastiche once, in order, with steps and seconds that never decrease."""
    reports: list[StepReport] = []

    outcomes = batch.optimize(make(optimizer=optimizer, steps=6), reports.append)

    seconds = [report.seconds for report in reports]
    assert seconds == sorted(seconds)
    assert 0.0 < seconds[0] < seconds[-1]
    for pair, outcome in enumerate(outcomes):
        own = [report for report in reports if report.pair == pair]
        assert [report.evaluation for report in own] == list(range(1, 8))
        assert [report.step for report in own] == list(range(7))
        assert outcome.losses in [report.losses for report in own]
        assert own[-1].seconds == outcome.seconds


def test_the_first_report_is_of_the_start(batch: Batch) -> None:
    """The first report of each pastiche has the losses of the start."""
    options, reports = make(steps=1, tv_weight=0.5), list[StepReport]()

    batch.optimize(options, reports.append)

    for report, expected in zip(reports[:2], batch.losses_of(batch.contents, options), strict=True):
        assert vars(report.losses) == pytest.approx(vars(expected), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_report_shows_the_best_pastiche(batch: Batch, optimizer: str) -> None:
    """`look` renders the start in the first report and the outcome in the last; no rendering requires a gradient."""
    looks: dict[int, list[Tensor]] = {0: [], 1: []}

    outcomes = batch.optimize(
        make(optimizer=optimizer, steps=6), lambda report: looks[report.pair].append(report.look())
    )

    for pair, outcome in enumerate(outcomes):
        assert torch.allclose(looks[pair][0], batch.contents[pair : pair + 1], atol=1e-3)
        assert torch.equal(looks[pair][-1], outcome.pastiche)
        assert not any(look.requires_grad for look in looks[pair])


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("lbfgs", None), ("adam", 0.05), ("adam", 1.0)])
def test_the_outcome_is_the_best_pastiche(batch: Batch, optimizer: str, learning_rate: float | None) -> None:
    """The outcome has the pastiche with the lowest total loss of all evaluations, and the losses of that pastiche."""
    options, reports = make(optimizer=optimizer, learning_rate=learning_rate, steps=15), list[StepReport]()

    outcomes = batch.optimize(options, reports.append)

    found = batch.losses_of(torch.cat([outcome.pastiche for outcome in outcomes]), options)
    for pair, outcome in enumerate(outcomes):
        assert outcome.losses.total == min(report.losses.total for report in reports if report.pair == pair)
        assert vars(found[pair]) == pytest.approx(vars(outcome.losses), rel=1e-3)


def test_the_outcome_need_not_be_the_last_pastiche(single: Batch) -> None:
    """With a far too high learning rate the outcome is the start, which has the lowest loss, and not the last point."""
    seen: list[float] = []

    (outcome,) = single.optimize(
        make(optimizer="adam", learning_rate=3.0, steps=10), on_step=lambda report: seen.append(report.losses.total)
    )

    assert outcome.losses.total == seen[0] == min(seen) < 0.5 * seen[-1]
    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-5)


def test_a_pastiche_keeps_its_best_when_another_leaves_the_batch(backbone: Backbone, picture: Picture) -> None:
    """When the first pastiche of a batch stops, the second, which never improves, still has its start as the best."""
    options = make(optimizer="adam", learning_rate=3.0, steps=5)
    first, second = sorted(
        (1, 2), key=lambda n: Batch(backbone.exact, picture, (n,)).losses_of(picture(28, 32, n), options)[0].total
    )
    together = Batch(backbone.exact, picture, (first, second))
    totals = [losses.total for losses in together.losses_of(together.contents, options)]

    outcomes = together.optimize(options.overridden({"loss_threshold": sum(totals) / 2.0}))

    assert [outcome.evaluations for outcome in outcomes] == [1, 6]
    torch.testing.assert_close(outcomes[1].pastiche, together.contents[1:], rtol=0.0, atol=1e-5)


def test_the_pastiche_is_not_part_of_a_graph(single: Batch) -> None:
    """The pastiche of an outcome requires no gradient, so that it keeps no autograd graph alive."""
    (outcome,) = single.optimize(make(steps=1))

    assert outcome.pastiche.shape == (1, 3, 28, 32)
    assert not outcome.pastiche.requires_grad


# ---- The optimised image is the saved image


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_the_losses_are_those_of_an_image_in_range(backbone: Backbone, recipe: str, optimizer: str) -> None:
    """With a black and white content and a style of pure colours, all losses are those of pixels within [0, 1]."""
    black_and_white = (torch.arange(32) % 8 < 4).float().expand(1, 3, 28, 32).contiguous()
    colours = torch.zeros(1, 3, 24, 24)
    colours[:, 0, :12], colours[:, 2, 12:] = 1.0, 1.0
    options = make(recipe=recipe, optimizer=optimizer, steps=12)
    network = backbone.exact
    loss = PerceptualLoss(
        network, encode_content(network, black_and_white, options), encode_style(network, colours, options), options
    )
    looks: list[tuple[float, Tensor]] = []

    (outcome,) = optimize(
        black_and_white, loss, options, lambda report: looks.append((report.losses.total, report.look()))
    )

    assert 0.0 <= outcome.pastiche.min().item() <= outcome.pastiche.max().item() <= 1.0
    for seen, look in [*looks, (outcome.losses.total, outcome.pastiche)]:
        assert 0.0 <= look.min().item() <= look.max().item() <= 1.0
        with torch.no_grad():
            assert loss(look).total.item() <= seen * (1.0 + 1e-3)
    with torch.no_grad():
        assert loss(outcome.pastiche).total.item() == pytest.approx(outcome.losses.total, rel=1e-3)
    assert outcome.losses.total < looks[0][0]


def test_no_gradient_leads_further_out_of_range(single: Batch) -> None:
    """Pixels beyond black or white have the loss of black or white, and no gradient that leads further out."""
    options = make()
    loss, pixels = single.loss(options), NormalisedPixels(28, 32)
    white = (torch.arange(32) % 8 < 4).expand(1, 3, 28, 32)
    terms, at_range = loss.with_gradient(white.float())
    kept = torch.where(white, at_range.clamp_min(0.0), at_range.clamp_max(0.0))

    found, gradient = evaluate(loss, Canvas(white.float()), pixels, pixels.encode(1.4 * white.float() - 0.2))

    assert found.total.item() == pytest.approx(terms.total.item(), rel=1e-5)
    assert 0 < int((kept == 0.0).sum()) < kept.numel()
    torch.testing.assert_close(gradient, pixels.pull_back(white.float(), kept), rtol=1e-4, atol=1e-6)


def test_a_pixel_beyond_white_comes_back(single: Batch) -> None:
    """Where the first steps move pixels beyond the light grey of the style, to white and further, they come back."""
    options = make(content_weight=0.0, style_weight=1.0, optimizer="adam", learning_rate=2.0, steps=30)
    network, dark = single.network, torch.full((1, 3, 28, 32), 0.1)
    style = encode_style(network, torch.full((1, 3, 24, 24), 0.9), options)
    loss = PerceptualLoss(network, encode_content(network, dark, options), style, options)

    (outcome,) = optimize(dark, loss, options)

    assert outcome.losses.total < 0.05 * loss(dark).total.item()


# ---- Batches, repeatability and units


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_a_batch_gives_the_pastiches_of_its_pairs_alone(
    backbone: Backbone, picture: Picture, recipe: str, optimizer: str
) -> None:
    """After ten steps each pastiche of a batch is, except for rounding, the one that its pair gives alone."""
    options = make(recipe=recipe, optimizer=optimizer, steps=10, **SMOOTH)

    together = Batch(backbone.exact, picture).optimize(options)

    for number, outcome in zip((1, 2), together, strict=True):
        (alone,) = Batch(backbone.exact, picture, (number,)).optimize(options)
        moved = (alone.pastiche - picture(28, 32, number)).abs().mean().item()
        assert (outcome.pastiche - alone.pastiche).abs().mean().item() < 0.01 * moved
        assert outcome.losses.total == pytest.approx(alone.losses.total, rel=1e-3)


def test_optimising_twice_gives_the_same_pastiches(batch: Batch) -> None:
    """A batch that is optimised twice gives the same pastiches, bit for bit."""
    options = make(steps=10)

    first, second = batch.optimize(options), batch.optimize(options)

    assert all(torch.equal(one.pastiche, other.pastiche) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_objective_does_not_matter(single: Batch, unit: float) -> None:
    """All weights multiplied by one factor give the same pastiche, because the objective is divided by its unit."""
    (plain,) = single.optimize(make(steps=10, **SMOOTH))

    (scaled,) = single.optimize(make(steps=10, content_weight=unit, style_weight=30.0 * unit, **SMOOTH))

    assert scaled.losses.total == pytest.approx(unit * plain.losses.total, rel=1e-2)
    torch.testing.assert_close(scaled.pastiche, plain.pastiche, rtol=0.0, atol=0.01)


def test_an_objective_with_tiny_weights_is_optimised(single: Batch) -> None:
    """Weights so small that the reciprocal of the first loss overflows in fp32 still give a finite, better pastiche."""
    options = make(steps=10, content_weight=0.0, style_weight=1e-39)

    (outcome,) = single.optimize(options)

    assert outcome.stop_reason != "diverged"
    assert outcome.losses.style < 0.9 * single.losses_of(single.contents, options)[0].style


def test_without_a_style_weight_the_content_image_is_not_changed(single: Batch) -> None:
    """With a style weight of 0 the optimisation starts at the minimum, the content image, and returns it."""
    (outcome,) = single.optimize(make(style_weight=0.0, steps=20))

    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-3)


# ---- Losses that are not finite


def test_infinite_weights_diverge_at_once(convolutions: Convolutions, picture: Picture) -> None:
    """A pastiche whose start has no finite loss ends as diverged after one evaluation."""
    ill = convolutions | {"conv1_1": (torch.full((64, 3, 3, 3), torch.inf), torch.zeros(64))}

    outcomes = Batch(VGG("vgg19", ill), picture).optimize(make())

    assert [(outcome.stop_reason, outcome.evaluations) for outcome in outcomes] == [("diverged", 1)] * 2


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("few_shapes", [False, True])
def test_a_pair_that_diverges_does_not_affect_the_others(
    backbone: Backbone, picture: Picture, optimizer: str, value: float, few_shapes: bool
) -> None:
    """A pair whose style target is not finite ends as diverged; the pastiche of another pair is as without it."""
    # Three of four pairs are left, so that with few shapes the batch keeps all four.
    batch = Batch(backbone.exact, picture, (1, 2, 3, 4))
    options = make(optimizer=optimizer, steps=6, **SMOOTH)
    loss = batch.loss(options)
    expected = batch.optimize(options)[1]
    loss.style["conv1_1"][0, 0, 3, 5] = value

    ill, well, *_ = optimize(batch.contents, loss, options, few_shapes=few_shapes)

    assert ill.stop_reason == "diverged"
    assert well.stop_reason == "steps"
    torch.testing.assert_close(well.pastiche, expected.pastiche, rtol=0.0, atol=1e-3)


def test_steps_into_losses_that_are_not_finite_are_rejected(single: Batch) -> None:
    """Where some pastiches have no finite loss, L-BFGS rejects the steps that lead there and still lowers the loss."""

    class Walled(PerceptualLoss):
        """NaN as soon as any pixel has moved by more than 0.15."""

        def with_gradient(self, pastiche: Tensor) -> Any:
            terms, gradient = super().with_gradient(pastiche)
            outside = (pastiche - single.contents).abs().amax(dim=(1, 2, 3)) > 0.15
            terms.total[outside] = torch.nan
            return terms, gradient

    options, seen = make(steps=40), list[float]()
    plain = single.loss(options)
    walled = Walled(plain.scheduled, plain.content, plain.style, options)

    (outcome,) = optimize(single.contents, walled, options, lambda report: seen.append(report.losses.total))

    assert any(total != total for total in seen)  # noqa: PLR0124  # NaN
    assert outcome.stop_reason == "steps"
    assert outcome.losses.total < 0.8 * seen[0]


def test_ten_losses_in_a_row_that_are_not_finite_end_a_pastiche(single: Batch) -> None:
    """After ten evaluations in a row that are not finite a pastiche ends as diverged, with the best before them."""

    class Shortlived(PerceptualLoss):
        """Finite for the first three evaluations."""

        evaluations = 0

        def with_gradient(self, pastiche: Tensor) -> Any:
            self.evaluations += 1
            terms, gradient = super().with_gradient(pastiche)
            terms.total[:] = terms.total * (1.0 if self.evaluations <= 3 else torch.nan)
            return terms, gradient

    options, seen = make(steps=40), list[float]()
    plain = single.loss(options)
    ill = Shortlived(plain.scheduled, plain.content, plain.style, options)

    (outcome,) = optimize(single.contents, ill, options, lambda report: seen.append(report.losses.total))

    assert (outcome.stop_reason, outcome.evaluations) == ("diverged", 13)
    assert outcome.losses.total == min(seen[:3])


@pytest.mark.parametrize(("rise", "most"), [(1.0, 1), (1.1, 20)])
def test_the_saved_image_meets_the_threshold(single: Batch, rise: float, most: int) -> None:
    """The optimisation continues until the saved image meets the threshold.

    Where the saved image has the optimizer's loss, it is measured only once.
    """
    options = make(steps=100)
    threshold = 0.1 * single.losses_of(single.contents, options)[0].total
    asked: list[tuple[float, float]] = []

    def confirm(pair: int, pastiche: Tensor) -> float:
        assert pair == 0
        loss = single.losses_of(pastiche, options)[0].total
        asked.append((loss, rise * loss))
        return rise * loss

    (outcome,) = optimize(
        single.contents,
        single.loss(options),
        options.model_copy(update={"loss_threshold": threshold}),
        confirm=confirm,
    )

    assert outcome.stop_reason == "threshold"
    assert asked[-1][1] <= threshold
    assert all(saved > threshold for _, saved in asked[:-1])
    assert all(loss <= threshold * 1.001 for loss, _ in asked)
    assert len(asked) <= most


def test_a_saved_image_is_measured_again_only_after_its_loss_fell(single: Batch) -> None:
    """Where the saved image never meets the threshold, it is measured again only once the loss fell by about 1/1000."""
    options = make(optimizer="adam", learning_rate=1e-4, steps=30)
    first = single.losses_of(single.contents, options)[0].total
    asked: list[float] = []

    def confirm(_pair: int, pastiche: Tensor) -> float:
        asked.append(single.losses_of(pastiche, options)[0].total)
        return 2.0 * first

    (outcome,) = optimize(
        single.contents,
        single.loss(options),
        options.model_copy(update={"loss_threshold": 1.01 * first}),
        confirm=confirm,
    )

    assert (outcome.stop_reason, outcome.evaluations) == ("steps", 31)
    assert 1 < len(asked) < 31
    assert all(later <= earlier * (1.0 - 0.9e-3) for earlier, later in itertools.pairwise(asked))
