"""Find outliers: pairs whose losses are far from those of the other pairs of their run."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from flows.report.gather import Pair
from flows.report.measures import MEASURES

FEWEST = 8
"""The fewest pairs among which outliers are looked for."""
FARTHEST = 3.5
"""The distance from the median, in robust standard deviations, beyond which a loss is an outlier, as Iglewicz and
Hoaglin (1993) suggest for this score."""
_MAD_TO_SD = 1.4826
"""The ratio of the standard deviation of a normal distribution to its median absolute deviation."""
_LEAST_SPREAD = 0.01
"""The smallest spread of log losses that is assumed: if all losses are within a percent, no difference matters."""

RULE = (
    f"A pair is marked when the logarithm of one of its losses lies more than {FARTHEST} robust standard deviations "
    "(1.4826 x median absolute deviation) from the median of all pairs with the same objective (recipe, weights, "
    f"layers, pooling, colours and style scale), at least {FEWEST} of them; or when its total loss is not below the "
    "one it started from."
)


def find_outliers(pairs: Iterable[Pair]) -> dict[int, tuple[str, ...]]:
    """Return by row the reasons why a pair is an outlier, for the pairs that are outliers."""
    groups: defaultdict[object, list[Pair]] = defaultdict(list)
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair.status == "succeeded":
            groups[pair.options and MEASURES["total_loss"].definition(pair.options)].append(pair)
            if no_improvement := _no_improvement(pair):
                reasons[pair.values["row"]].append(no_improvement)
    for group in groups.values():
        for name in ("total_loss", "content_loss", "style_loss"):
            for row, reason in _far_from_median(group, name):
                reasons[row].append(reason)
    return {row: tuple(texts) for row, texts in reasons.items()}


def scores(values: Sequence[float]) -> list[float]:
    """Return the distance of each value from the median in robust standard deviations; all 0 if there are too few.

    >>> [round(score, 1) for score in scores([1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.0, 5.0])]
    [0.0, 0.7, -0.7, 0.0, 1.3, -1.3, 0.0, 27.0]
    """
    if len(values) < FEWEST:
        return [0.0] * len(values)
    middle = statistics.median(values)
    spread = max(_MAD_TO_SD * statistics.median(abs(value - middle) for value in values), _LEAST_SPREAD)
    return [(value - middle) / spread for value in values]


def _far_from_median(group: list[Pair], name: str) -> Iterable[tuple[int, str]]:
    measured = [(pair, loss) for pair in group if (loss := pair.number(name)) is not None and loss > 0.0]
    middle = statistics.median([loss for _, loss in measured]) if measured else 0.0
    for (pair, loss), score in zip(measured, scores([math.log(loss) for _, loss in measured]), strict=True):
        if abs(score) > FARTHEST:
            side = "above" if score > 0 else "below"
            words = name.replace("_", " ")
            reason = f"{words} {loss:.4g} is {abs(score):.1f} robust deviations {side} the median {middle:.4g}"
            yield pair.values["row"], reason


def _no_improvement(pair: Pair) -> str | None:
    initial, final = pair.number("initial_total_loss"), pair.number("total_loss")
    if initial is None or final is None or final < initial:
        return None
    return f"total loss {final:.4g} is not below the {initial:.4g} it started from"
