"""Reduce the loss history that a pair's record holds to what a page shows."""

from flows.records.attempts import LossSample

Curve = tuple[LossSample, ...]


def thinned(curve: Curve, most: int) -> Curve:
    """Return at most `most` samples of a curve, evenly spaced and including the first and the last.

    >>> [sample.step for sample in thinned(tuple(LossSample(0, n, n, 1, 1, 1, 1, 1) for n in range(9)), 3)]
    [0, 4, 8]
    """
    if len(curve) <= most:
        return curve
    return tuple(curve[round(place * (len(curve) - 1) / (most - 1))] for place in range(most))
