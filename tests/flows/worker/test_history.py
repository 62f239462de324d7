"""flows.worker.history: samples of a pair's losses, few and evenly spread."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flows.worker.history import MOST, Histories, each_of
from nst_core.losses.values import LossValues
from nst_core.optimize import StepReport


def report(evaluation: int, pair: int = 0, level: int = 0, total: float = 1.0) -> StepReport:
    losses = LossValues(total, 0.1, 0.2, 0.3)
    return StepReport(pair, level, evaluation - 1, evaluation, losses, evaluation / 10, lambda: torch.zeros(1, 3, 1, 1))


@given(st.integers(1, 5000))
def test_samples_are_few_in_order_and_evenly_spread(evaluations: int) -> None:
    """Of any number of evaluations at most `MOST + 1` are kept, with the first and the last; all gaps but the last are
    equal.
    """
    histories = Histories(1)
    for evaluation in range(1, evaluations + 1):
        histories(report(evaluation))
    kept = [sample.evaluation for sample in histories.of(0)]
    gaps = {after - before for before, after in itertools.pairwise(kept[:-1])}

    assert (kept[0], kept[-1]) == (1, evaluations)
    assert kept == sorted(set(kept))
    assert min(evaluations, MOST // 2) <= len(kept) <= MOST + 1
    assert len(gaps) <= 1


def test_pairs_and_levels_have_their_own_samples() -> None:
    """Each pair has its own samples, those of the coarsest level first."""
    histories = Histories(2)
    for level in (1, 0):
        for evaluation in (1, 2, 3):
            histories(report(evaluation, pair=1, level=level))
    histories(report(1, pair=0))

    assert [(sample.level, sample.evaluation) for sample in histories.of(1)] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (0, 1),
        (0, 2),
        (0, 3),
    ]
    assert len(histories.of(0)) == 1


@pytest.mark.parametrize("total", [123456.789, 1.23456789e-7, 2.5432123e9])
def test_losses_are_kept_to_five_digits(total: float) -> None:
    """A sample's loss is that of the evaluation to five digits, whatever its magnitude."""
    histories = Histories(1)
    histories(report(1, total=total))

    kept = histories.of(0)[0].total_loss
    assert kept == pytest.approx(total, rel=5e-5)
    assert kept == float(f"{kept:.5g}")


@pytest.mark.parametrize("total", [math.inf, math.nan])
def test_losses_that_are_not_finite_are_left_out(total: float) -> None:
    """An evaluation with an infinite loss or NaN is no sample of the record."""
    histories = Histories(1)
    histories(report(1))
    histories(report(2, total=total))

    assert [sample.evaluation for sample in histories.of(0)] == [1]


def test_each_of_calls_every_callback() -> None:
    """The second callback, if there is one, receives every report that the first receives."""
    one: list[StepReport] = []
    other: list[StepReport] = []
    each_of(one.append, other.append)(report(1))
    each_of(one.append, None)(report(2))

    assert (len(one), len(other)) == (2, 1)
