"""The numbers of a pair that the pages show and filter by, and whether those of two pairs can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass

from nst_core.options import StylizeOptions
from nst_core.options.objective import CONTENT_LOSS, SEEN_AS, STYLE_LOSS, WEIGHTS


@dataclass(frozen=True)
class Measure:
    """A number of a finished pair: a column of the results table that has a histogram, a filter and an order.

    Attributes:
        title: its name on the page.
        defined_by: the options that define what it measures; empty if it can always be compared.
    """

    title: str
    defined_by: tuple[str, ...] = ()

    def definition(self, options: StylizeOptions) -> tuple[object, ...]:
        """Return what defines the measure for a pair; two pairs can be compared if it is the same."""
        return tuple(getattr(options, name) for name in self.defined_by)


_LOSSES = {
    "total_loss": Measure("Total loss", (*CONTENT_LOSS, *STYLE_LOSS, *WEIGHTS)),
    "content_loss": Measure("Content loss", CONTENT_LOSS),
    "style_loss": Measure("Style loss", STYLE_LOSS),
    "tv_loss": Measure("TV loss"),
}
"""The total loss and its unweighted parts, whose meaning depends on the pair's objective."""

_DISTANCES = {
    "content_distance": Measure("Content distance", tuple(name for name in SEEN_AS if name in CONTENT_LOSS)),
    "style_distance": Measure("Style distance", tuple(name for name in SEEN_AS if name in STYLE_LOSS)),
}
"""The measures that are comparable across recipes, layers, sizes and styles: 0 is a match."""

MEASURES: Mapping[str, Measure] = {**_LOSSES, **_DISTANCES, "seconds": Measure("Seconds")}
"""Every measure by its column."""

LOSSES, DISTANCES = tuple(_LOSSES), tuple(_DISTANCES)
