"""Three presets for the length of an optimisation, chosen by eye and by loss on a range of pairs. No torch.

`draft` shows what a pair will look like: large strokes and colours, with some areas still bare. `standard` ends where
the result of twice as many evaluations is hardly distinguishable side by side. `best` continues until hardly anything
changes.
"""

from dataclasses import dataclass
from typing import Literal

QualityName = Literal["draft", "standard", "best"]


@dataclass(frozen=True)
class Quality:
    """One preset.

    Attributes:
        steps: the largest number of steps, as a share of the recipe's.
        plateau_tolerance: the default of the option of the same name.
    """

    steps: float
    plateau_tolerance: float


QUALITIES: dict[QualityName, Quality] = {
    "draft": Quality(steps=2 / 15, plateau_tolerance=0.05),
    "standard": Quality(steps=1.0, plateau_tolerance=0.015),
    "best": Quality(steps=2.0, plateau_tolerance=0.002),
}
