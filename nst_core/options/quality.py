"""How long an optimisation goes on: three presets, chosen by eye and by loss on a spread of pairs. No torch.

`draft` shows what a pair will look like, large strokes and colours, with parts still bare. `standard` ends where a
picture of twice as many evaluations can hardly be told from it side by side. `best` goes on until hardly anything
moves.
"""

from dataclasses import dataclass
from typing import Literal

QualityName = Literal["draft", "standard", "best"]


@dataclass(frozen=True)
class Quality:
    """One preset.

    Attributes:
        steps: at most, as a share of the recipe's.
        plateau_tolerance: the option's default.
    """

    steps: float
    plateau_tolerance: float


QUALITIES: dict[QualityName, Quality] = {
    "draft": Quality(steps=2 / 15, plateau_tolerance=0.05),
    "standard": Quality(steps=1.0, plateau_tolerance=0.015),
    "best": Quality(steps=2.0, plateau_tolerance=0.002),
}
