"""Which pairs stand apart from the others of their run, and by which rule."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from flows.report.gather import Pair

FEWEST = 8
"""Pairs that a comparison takes; among fewer, no one stands apart."""
FARTHEST = 3.5
"""Robust standard deviations from the median, as Iglewicz and Hoaglin (1993) suggest for this score."""
_MAD_TO_SD = 1.4826
_LEAST_SPREAD = 0.01
"""Of a log loss: where all losses are within a percent of each other, no difference is worth a mark."""

RULE = (
    f"A pair is marked when the logarithm of one of its losses lies more than {FARTHEST} robust standard deviations "
    f"(1.4826 x median absolute deviation) from the median of all pairs with the same objective, at least {FEWEST} "
    "of them; or when its total loss is not below the one it started from."
)


def find_outliers(pairs: Iterable[Pair]) -> dict[int, tuple[str, ...]]:
    """Row -> why it is an outlier, for those that are."""
    groups: defaultdict[object, list[Pair]] = defaultdict(list)
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair.status == "succeeded":
            groups[_objective(pair)].append(pair)
            if not_better := _not_better(pair):
                reasons[pair.values["row"]].append(not_better)
    for group in groups.values():
        for name in ("total_loss", "content_loss", "style_loss"):
            for row, reason in _far_ones(group, name):
                reasons[row].append(reason)
    return {row: tuple(found) for row, found in reasons.items()}


def scores(values: Sequence[float]) -> list[float]:
    """How many robust standard deviations each value lies from the median; all 0 where there are too few.

    >>> [round(score, 1) for score in scores([1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.0, 5.0])]
    [0.0, 0.7, -0.7, 0.0, 1.3, -1.3, 0.0, 27.0]
    """
    if len(values) < FEWEST:
        return [0.0] * len(values)
    middle = statistics.median(values)
    spread = max(_MAD_TO_SD * statistics.median(abs(value - middle) for value in values), _LEAST_SPREAD)
    return [(value - middle) / spread for value in values]


def _far_ones(group: list[Pair], name: str) -> Iterable[tuple[int, str]]:
    measured = [(pair, loss) for pair in group if (loss := pair.loss(name)) is not None and loss > 0.0]
    middle = statistics.median([loss for _, loss in measured]) if measured else 0.0
    for (pair, loss), score in zip(measured, scores([math.log(loss) for _, loss in measured]), strict=True):
        if abs(score) > FARTHEST:
            side = "above" if score > 0 else "below"
            words = name.replace("_", " ")
            reason = f"{words} {loss:.4g} is {abs(score):.1f} robust deviations {side} the median {middle:.4g}"
            yield pair.values["row"], reason


def _not_better(pair: Pair) -> str | None:
    began, ended = pair.loss("initial_total_loss"), pair.loss("total_loss")
    if began is None or ended is None or ended < began:
        return None
    return f"total loss {ended:.4g} is not below the {began:.4g} it started from"


def _objective(pair: Pair) -> object:
    """Losses of other recipes, weights or layers cannot be compared."""
    options = pair.options
    return options and (
        *(options.recipe, options.content_weight, options.style_weight, options.tv_weight),
        *(options.content_layers, options.style_layers, options.style_layer_weights, options.pooling),
    )
