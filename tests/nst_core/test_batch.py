"""batch: what the pairs of a batch must share, and that they do not influence each other."""

import dataclasses
from typing import Any

import pytest
import torch

from nst_core.errors import ShapeError
from nst_core.measure import measure
from nst_core.optimize import StepReport
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from nst_core.stylize import stylize
from tests.nst_core.pairs import SMOOTH, Pairs, make


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_pair_gives_the_same_pastiche_alone_and_in_a_batch(pairs: Pairs, optimizer: str) -> None:
    """After ten steps a pastiche is, except for rounding, the same alone as beside a pair of another style."""
    requests = [pairs.request(number, optimizer=optimizer, **SMOOTH) for number in (1, 2)]

    together = pairs.stylize(*requests)

    for request, result in zip(requests, together, strict=True):
        (alone,) = pairs.stylize(request)
        moved = (alone.pastiche - request.content).abs().mean().item()
        assert (result.pastiche - alone.pastiche).abs().mean().item() < 0.01 * moved
        assert vars(result.initial) == pytest.approx(vars(alone.initial), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_pair_reaches_the_same_loss_alone_and_in_a_batch(pairs: Pairs, optimizer: str) -> None:
    """With all ReLU layers a pair reaches the same loss, within 2 %, alone as beside another pair."""
    requests = [pairs.request(number, optimizer=optimizer) for number in (1, 2)]

    together = pairs.stylize(*requests)

    for request, result in zip(requests, together, strict=True):
        (alone,) = pairs.stylize(request)
        totals = [measure(one.pastiche, request, pairs.backbone).total for one in (result, alone)]
        assert totals[0] == pytest.approx(totals[1], rel=0.02)
        assert totals[0] < 0.9 * alone.initial.total


def test_results_come_in_the_order_of_requests(pairs: Pairs) -> None:
    """Each result is that of the request at the same place, even when a later pair stops first."""
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
    """Pairs of a batch may have different seeds: each starts from the noise of its own."""
    requests = [pairs.request(1, init="noise", seed=seed, steps=2) for seed in (3, 4, 3)]

    first, other, again = pairs.stylize(*requests)

    torch.testing.assert_close(first.pastiche, again.pastiche, rtol=0.0, atol=1e-4)
    assert (first.pastiche - other.pastiche).abs().mean().item() > 0.01


def test_the_same_seed_gives_the_same_pastiche(pairs: Pairs) -> None:
    """A pair that is stylized twice from noise of one seed gives the same pastiche, bit for bit."""
    first, second = (pairs.stylize(pairs.request(init="noise", seed=5))[0] for _ in range(2))

    assert torch.equal(first.pastiche, second.pastiche)


@pytest.mark.parametrize("size", [(28, 36), (32, 28)])
def test_unequal_sizes_are_refused(pairs: Pairs, size: tuple[int, int]) -> None:
    """Pairs of unequal size cannot form a batch; the error names both sizes."""
    with pytest.raises(ShapeError, match=rf"equal size, got \(1, 3, 28, 32\) and \(1, 3, {size[0]}, {size[1]}\)"):
        stylize([pairs.request(1), pairs.request(2, size=size)], pairs.backbone)


def test_options_with_equal_effect_form_a_batch(pairs: Pairs) -> None:
    """A strength of 0.5 means the default weight, and `quality` does not change given options: both form a batch."""
    plain, dialled = pairs.request(1, steps=1), pairs.request(2, steps=1, strength=0.5, quality="best")

    assert len(pairs.stylize(plain, dialled)) == 2


@pytest.mark.parametrize("changes", [{"steps": 11}, {"style_weight": 31}, {"init": "noise"}, {"optimizer": "adam"}])
def test_unequal_options_are_refused(pairs: Pairs, changes: dict[str, Any]) -> None:
    """Pairs whose options differ in more than the seed cannot form a batch."""
    with pytest.raises(ShapeError, match="equal options; only the seed may differ"):
        stylize([pairs.request(1), pairs.request(2, **changes)], pairs.backbone)


def test_unequal_numbers_of_levels_are_refused(pairs: Pairs) -> None:
    """Pairs with unequal numbers of levels are refused, because the levels of a pair would depend on the batch.

    A start image or a tiny style image changes the number.
    """
    request = pairs.request(1, size=(512, 16), levels=None, **SMOOTH)
    started = dataclasses.replace(request, initial=request.content)
    tiny = dataclasses.replace(request, style=prepare_style(pairs.backbone, pairs.picture(3, 3, 7), request.options))

    for other in (started, tiny):
        with pytest.raises(ShapeError, match="equally many levels"):
            stylize([request, other], pairs.backbone)


def test_every_pair_and_evaluation_is_reported(pairs: Pairs) -> None:
    """`on_step` is called once for each evaluation of each pair of a batch."""
    reports: list[StepReport] = []

    results = pairs.stylize(pairs.request(1), pairs.request(2), on_step=reports.append)

    for pair, result in enumerate(results):
        assert sum(report.pair == pair for report in reports) == result.evaluations == 11


def test_one_style_image_serves_many_pairs(pairs: Pairs) -> None:
    """A style that is encoded once and used for two pairs gives the same pastiche as one encoded for each."""
    shared = pairs.request(1, **SMOOTH).style
    requests = [StylizeRequest(pairs.picture(28, 32, number), shared, make(**SMOOTH)) for number in (1, 2)]

    results = pairs.stylize(*requests)

    own = pairs.stylize(pairs.request(1, **SMOOTH))[0]
    torch.testing.assert_close(results[0].pastiche, own.pastiche, rtol=0.0, atol=0.01)
