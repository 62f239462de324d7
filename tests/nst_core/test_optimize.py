"""optimize: the one loop for every optimizer and objective, and when it stops."""

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

# Without a ReLU the objective is smooth. A kink, met by one of two paths that differ by rounding, sets them apart.
SMOOTH: dict[str, Any] = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate(SHALLOW | {"plateau_tolerance": 0.0} | values).resolved()


class Batch:
    """Pairs with contents 1, 2, ... and styles 11, 12, ..., of 32 x 28 px; they start from the contents."""

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


# ---- When it stops


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_steps(batch: Batch, optimizer: str, steps: int) -> None:
    """The number of steps asked for is taken, with one evaluation more: that of the start."""
    outcomes = batch.optimize(make(optimizer=optimizer, steps=steps))

    assert [outcome.stop_reason for outcome in outcomes] == ["steps", "steps"]
    assert [outcome.evaluations for outcome in outcomes] == [steps + 1, steps + 1]
    assert [outcome.steps for outcome in outcomes] == [steps, steps]


def test_rejected_steps_cost_evaluations(single: Batch) -> None:
    """Steps that L-BFGS takes back count as evaluations against the limit, and not as steps."""
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


def test_a_threshold_that_the_start_meets(single: Batch) -> None:
    """A start below the threshold is left as it is after one evaluation."""
    (outcome,) = single.optimize(make(loss_threshold=1e9))

    assert (outcome.stop_reason, outcome.evaluations, outcome.steps) == ("threshold", 1, 0)
    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_settled(single: Batch, optimizer: str) -> None:
    """It ends at the first evaluation by which the best loss fell too little over the window, and not before."""
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
    """With tolerance 0 the steps are taken to the last, however flat the loss has become."""
    options = make(optimizer="adam", learning_rate=1e-9, plateau_window=2, steps=12)

    (flat,) = single.optimize(options)
    (stopped,) = single.optimize(options.overridden({"plateau_tolerance": 0.001}))

    assert (flat.stop_reason, flat.evaluations) == ("steps", 13)
    assert (stopped.stop_reason, stopped.evaluations) == ("settled", 3)


def test_time(batch: Batch) -> None:
    """A time budget that is used up ends the optimisation with what there is."""
    outcomes = batch.optimize(make(max_seconds=1e-9))

    assert [(outcome.stop_reason, outcome.evaluations) for outcome in outcomes] == [("time", 1), ("time", 1)]


def test_time_is_not_up_at_once(single: Batch) -> None:
    """A budget of a fifth of a second is kept to within an evaluation or two."""
    (outcome,) = single.optimize(make(max_seconds=0.2, steps=100_000))

    assert outcome.stop_reason == "time"
    assert 0.2 <= outcome.seconds < 2.0
    assert outcome.evaluations > 1


def test_perfection_is_settled(convolutions: Convolutions, picture: Picture) -> None:
    """A loss of exactly 0 ends the optimisation: there is nothing to gain."""
    blank = {name: (torch.zeros_like(weight), torch.zeros_like(bias)) for name, (weight, bias) in convolutions.items()}

    (outcome,) = Batch(VGG("vgg19", blank), picture, (1,)).optimize(make(loss_threshold=1e-9))

    assert (outcome.stop_reason, outcome.evaluations, outcome.losses.total) == ("settled", 1, 0.0)


@pytest.mark.parametrize("few_shapes", [False, True])
def test_each_pastiche_stops_by_itself(backbone: Backbone, picture: Picture, few_shapes: bool) -> None:
    """In a batch with a threshold, every pastiche ends at the evaluation at which it ends alone."""
    together = Batch(backbone.exact, picture, (1, 2, 3, 4))  # the first to stop stays, where shapes are few
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


class Noting(Canvas):
    """A canvas that notes how many pastiches are evaluated together."""

    sizes: ClassVar[list[int]] = []

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        self.sizes.append(len(gradient))
        return super().pull_back(image, gradient)

    def keep(self, index: Tensor) -> Canvas:
        return Noting(super().keep(index).contents)


@pytest.mark.parametrize(("few_shapes", "most"), [(False, [5, 4, 3, 2, 1]), (True, [5, 3, 2, 1])])
def test_a_batch_shrinks_at_once_or_by_halves(
    backbone: Backbone, picture: Picture, few_shapes: bool, most: list[int]
) -> None:
    """Without few shapes each pastiche leaves when it stops; with them it may stay, and no more comes of it."""
    numbers = (1, 2, 3, 4, 5)
    together = Batch(backbone.exact, picture, numbers)
    firsts = sorted(one.total for one in together.losses_of(together.contents, make()))
    options = make(loss_threshold=0.25 * firsts[2], steps=40)
    Noting.sizes.clear()

    outcomes = together.optimize(options, canvas=Noting(together.contents), few_shapes=few_shapes)
    evaluations = sorted((outcome.evaluations for outcome in outcomes), reverse=True)
    at_work = [sum(one > done for one in evaluations) for done in range(evaluations[0])]

    assert len(set(evaluations)) > 2
    assert len(Noting.sizes) == evaluations[0]
    assert set(Noting.sizes) <= set(most)
    assert Noting.sizes == [min(size for size in most if size >= left) for left in at_work]


# ---- What is reported


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_every_evaluation_is_reported_once(batch: Batch, optimizer: str) -> None:
    """`on_step` is told of each evaluation of each pastiche once, in order, with steps and seconds that never fall."""
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
    """The first losses that are reported are those of the start."""
    options, reports = make(steps=1, tv_weight=0.5), list[StepReport]()

    batch.optimize(options, reports.append)

    for report, expected in zip(reports[:2], batch.losses_of(batch.contents, options), strict=True):
        assert vars(report.losses) == pytest.approx(vars(expected), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_report_shows_the_best_pastiche(batch: Batch, optimizer: str) -> None:
    """A look at the first report is the start, at the last one of a pastiche its outcome; none holds a gradient."""
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
    """The pastiche of an outcome is the one with the lowest total seen, and its losses are of that pastiche."""
    options, reports = make(optimizer=optimizer, learning_rate=learning_rate, steps=15), list[StepReport]()

    outcomes = batch.optimize(options, reports.append)

    found = batch.losses_of(torch.cat([outcome.pastiche for outcome in outcomes]), options)
    for pair, outcome in enumerate(outcomes):
        assert outcome.losses.total == min(report.losses.total for report in reports if report.pair == pair)
        assert vars(found[pair]) == pytest.approx(vars(outcome.losses), rel=1e-3)


def test_the_best_need_not_be_the_last(single: Batch) -> None:
    """With a learning rate that is far too high the outcome is not the last pastiche but the start, the best seen."""
    seen: list[float] = []

    (outcome,) = single.optimize(
        make(optimizer="adam", learning_rate=3.0, steps=10), on_step=lambda report: seen.append(report.losses.total)
    )

    assert outcome.losses.total == seen[0] == min(seen) < 0.5 * seen[-1]
    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-5)


def test_a_pastiche_that_stops_takes_no_other_best_with_it(backbone: Backbone, picture: Picture) -> None:
    """When the first pastiche of a batch stops, the one behind it, that never improves on its start, keeps its own."""
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
    """The pastiche of an outcome keeps no graph alive."""
    (outcome,) = single.optimize(make(steps=1))

    assert outcome.pastiche.shape == (1, 3, 28, 32)
    assert not outcome.pastiche.requires_grad


# ---- What is optimised is what is saved


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_the_losses_are_those_of_a_picture_in_range(backbone: Backbone, recipe: str, optimizer: str) -> None:
    """From a black and white picture to a style of full colours: every loss is that of pixels in [0, 1]."""
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
    """Stripes beyond black and white have the loss of black and white, and no gradient that would lead further out."""
    options = make()
    loss, pixels = single.loss(options), NormalisedPixels(28, 32)
    white = (torch.arange(32) % 8 < 4).expand(1, 3, 28, 32)
    terms, at_range = loss.with_gradient(white.float())
    kept = torch.where(white, at_range.clamp_min(0.0), at_range.clamp_max(0.0))

    found, gradient = evaluate(loss, Canvas(white.float()), pixels, pixels.encode(1.4 * white.float() - 0.2))

    assert found.total.item() == pytest.approx(terms.total.item(), rel=1e-5)
    assert 0 < int((kept == 0.0).sum()) < kept.numel()
    torch.testing.assert_close(gradient, pixels.pull_back(white.float(), kept), rtol=1e-4, atol=1e-6)


def test_a_pixel_that_went_too_far_comes_back(single: Batch) -> None:
    """Where the style is grey, a white picture that was pushed beyond white by its first steps does not stay white."""
    options = make(content_weight=0.0, style_weight=1.0, optimizer="adam", learning_rate=0.5, steps=30)
    network, white = single.network, torch.full((1, 3, 28, 32), 0.9)
    style = encode_style(network, torch.full((1, 3, 24, 24), 1.0), options)
    loss = PerceptualLoss(network, encode_content(network, white, options), style, options)

    (outcome,) = optimize(white, loss, options)

    assert outcome.losses.total < 0.05 * loss(white).total.item()


# ---- What is promised


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_a_batch_is_its_pairs_alone(backbone: Backbone, picture: Picture, recipe: str, optimizer: str) -> None:
    """After ten steps each pastiche of a batch is, but for rounding, the one it becomes alone."""
    options = make(recipe=recipe, optimizer=optimizer, steps=10, **SMOOTH)

    together = Batch(backbone.exact, picture).optimize(options)

    for number, outcome in zip((1, 2), together, strict=True):
        (alone,) = Batch(backbone.exact, picture, (number,)).optimize(options)
        moved = (alone.pastiche - picture(28, 32, number)).abs().mean().item()
        assert (outcome.pastiche - alone.pastiche).abs().mean().item() < 0.01 * moved
        assert outcome.losses.total == pytest.approx(alone.losses.total, rel=1e-3)


def test_the_same_again_is_the_same(batch: Batch) -> None:
    """The same batch optimised twice gives the same pastiches, bit for bit."""
    options = make(steps=10)

    first, second = batch.optimize(options), batch.optimize(options)

    assert all(torch.equal(one.pastiche, other.pastiche) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_objective_does_not_matter(single: Batch, unit: float) -> None:
    """All weights times a number give the same pastiche: L-BFGS sees the objective without its unit."""
    (plain,) = single.optimize(make(steps=10, **SMOOTH))

    (scaled,) = single.optimize(make(steps=10, content_weight=unit, style_weight=30.0 * unit, **SMOOTH))

    assert scaled.losses.total == pytest.approx(unit * plain.losses.total, rel=1e-2)
    torch.testing.assert_close(scaled.pastiche, plain.pastiche, rtol=0.0, atol=0.01)


def test_an_objective_of_a_vanishing_unit(single: Batch) -> None:
    """Weights so small that the reciprocal of the first loss overflows in fp32 still give a finite, better pastiche."""
    options = make(steps=10, content_weight=0.0, style_weight=1e-39)

    (outcome,) = single.optimize(options)

    assert outcome.stop_reason != "diverged"
    assert outcome.losses.style < 0.9 * single.losses_of(single.contents, options)[0].style


def test_content_alone_stays_the_content_image(single: Batch) -> None:
    """From the content image with no weight on style there is nothing to do, and nothing is spoilt."""
    (outcome,) = single.optimize(make(style_weight=0.0, steps=20))

    torch.testing.assert_close(outcome.pastiche, single.contents, rtol=0.0, atol=1e-3)


# ---- What is not finite


def test_infinite_weights_diverge_at_once(convolutions: Convolutions, picture: Picture) -> None:
    """A start whose loss is not finite is given up after one evaluation."""
    ill = convolutions | {"conv1_1": (torch.full((64, 3, 3, 3), torch.inf), torch.zeros(64))}

    outcomes = Batch(VGG("vgg19", ill), picture).optimize(make())

    assert [(outcome.stop_reason, outcome.evaluations) for outcome in outcomes] == [("diverged", 1)] * 2


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("few_shapes", [False, True])
def test_a_pair_that_diverges_harms_no_other(
    backbone: Backbone, picture: Picture, optimizer: str, value: float, few_shapes: bool
) -> None:
    """A pair whose style target is not finite ends as diverged; the other pair is as it is without it."""
    batch = Batch(backbone.exact, picture, (1, 2, 3, 4))  # of which three are left, so that few shapes keep the fourth
    options = make(optimizer=optimizer, steps=6, **SMOOTH)
    loss = batch.loss(options)
    expected = batch.optimize(options)[1]
    loss.style["conv1_1"][0, 0, 3, 5] = value

    ill, well, *_ = optimize(batch.contents, loss, options, few_shapes=few_shapes)

    assert ill.stop_reason == "diverged"
    assert well.stop_reason == "steps"
    torch.testing.assert_close(well.pastiche, expected.pastiche, rtol=0.0, atol=1e-3)


def test_a_wall_on_the_way_is_avoided(single: Batch) -> None:
    """Where some pastiches have no finite loss, L-BFGS steps back from them and still ends finite and better."""

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


def test_losses_that_stay_not_finite_are_given_up(single: Batch) -> None:
    """Ten evaluations in a row that are not finite end a pastiche as diverged, with the best there was."""

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
def test_a_threshold_is_met_by_what_is_saved(single: Batch, rise: float, most: int) -> None:
    """It goes on until the saved picture meets the threshold; where both losses are one number, one look is enough."""
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


def test_a_picture_is_measured_anew_only_after_a_fall(single: Batch) -> None:
    """Where the saved picture never meets the threshold, each look is at a loss lower by a thousandth at least."""
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
