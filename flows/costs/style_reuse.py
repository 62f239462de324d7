"""Which pictures of styles are encoded for which pair: once for all pairs of one size that share them.

What is estimated and what is learnt from a run have to agree in this.
"""

from flows.records.attempts import PairRecord
from flows.records.pairs import FURTHER_STYLES, PairSpec


class Encoded:
    """The styles that were encoded for the pairs before."""

    def __init__(self) -> None:
        self._seen: set[tuple[tuple[str, ...], int]] = set()

    def pictures_for(self, pair: PairSpec | PairRecord, long_edge: int) -> int:
        """How many pictures are encoded for the next pair, whose pastiche has this long edge; all those of a blend."""
        styles = (pair.style, *(pair.others[column] for column in FURTHER_STYLES if column in pair.others))
        if pair.options.colors != "style":  # then they are brought to this pair's content
            return len(styles)
        if (styles, long_edge) in self._seen:
            return 0
        self._seen.add((styles, long_edge))
        return len(styles)
