"""history.parquet -> how each pair's loss fell. A run without that file, or a pair it does not have, has no curve."""

import io
import logging
from collections import defaultdict
from typing import NamedTuple

from flows import storage
from flows.errors import NotFound

logger = logging.getLogger(__name__)

LOSSES = ("total_loss", "content_loss", "style_loss", "tv_loss")
COLUMNS = ("pair_id", "fingerprint", "level", "step", "evaluation", *LOSSES)


class Sample(NamedTuple):
    """One evaluation, as the optimizer saw it. Level 0 is full size, 1 half of it, and so on."""

    level: int
    step: int
    evaluation: int
    total_loss: float
    content_loss: float
    style_loss: float
    tv_loss: float


Curve = tuple[Sample, ...]


def read_curves(address: str) -> dict[tuple[str, str], Curve]:
    """(pair id, fingerprint) -> its samples in the order they were made: the coarsest level first."""
    try:
        data = storage.read(address)
    except NotFound:
        return {}
    # Here, because it takes a third of a second to import, and most of what is done with a run needs no history.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(io.BytesIO(data), columns=list(COLUMNS)).to_pydict()
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        logger.warning("%s: no loss history (%s); the page is made without curves", address, error)
        return {}
    curves: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    for pair_id, fingerprint, *sample in zip(*(columns[name] for name in COLUMNS), strict=True):
        curves[pair_id, fingerprint].append(Sample(*sample))
    order = {key: sorted(samples, key=lambda one: (-one.level, one.evaluation)) for key, samples in curves.items()}
    return {key: tuple(samples) for key, samples in order.items()}


def thinned(curve: Curve, most: int) -> Curve:
    """At most so many samples, evenly chosen, the first and the last among them.

    >>> [sample.step for sample in thinned(tuple(Sample(0, n, n, 1.0, 1.0, 1.0, 1.0) for n in range(9)), 3)]
    [0, 4, 8]
    """
    if len(curve) <= most:
        return curve
    return tuple(curve[round(place * (len(curve) - 1) / (most - 1))] for place in range(most))
