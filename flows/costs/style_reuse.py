"""Count of the style images that each pair makes the engine encode: pairs of one size share their encoded styles.

The time estimate and the rates learnt from a run must count alike, so both use this module.
"""

from flows.records.attempts import PairRecord
from flows.records.pairs import FURTHER_STYLES, PairSpec


class EncodedStyles:
    """The set of styles that are already encoded after the pairs counted so far."""

    def __init__(self) -> None:
        self._seen: set[tuple[tuple[str, ...], int]] = set()

    def pictures_for(self, pair: PairSpec | PairRecord, long_edge: int) -> int:
        """Return how many style images have to be encoded for the next pair, counting each image of a blend.

        Args:
            pair: the next pair.
            long_edge: the long edge of its pastiche, in pixels.
        """
        styles = (pair.style, *(pair.others[column] for column in FURTHER_STYLES if column in pair.others))
        if pair.options.colors != "style":  # the styles are recoloured for this content, so no other pair shares them
            return len(styles)
        if (styles, long_edge) in self._seen:
            return 0
        self._seen.add((styles, long_edge))
        return len(styles)
