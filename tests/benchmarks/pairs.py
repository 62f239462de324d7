"""The pairs that are benchmarked, called the spread: every kind of content and style, none chosen for its speed.

The images are the project's own samples, photographs that public packages carry as data, and drawings of `drawn`. The
packages (extra `benchmarks`) are only searched for their files, never imported.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.benchmarks.drawn import PICTURES, drawn
from tests.benchmarks.pictures import opened, sample, square
from tests.benchmarks.scoring import Pair

CARRIED = {
    "brick": ("skimage", "data/brick.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace-hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "gravel": ("skimage", "data/gravel.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "moon": ("skimage", "data/moon.png"),
}
"""Image -> the package that carries it, and its path there."""


@dataclass(frozen=True)
class SpreadPair:
    """A content and a style image by name."""

    content: str
    style: str

    @property
    def name(self) -> str:
        """The pair's name in tables."""
        return f"{self.content} x {self.style}"


PAIRS = (
    SpreadPair("china", "brushstrokes"),  # photo x oil
    SpreadPair("flower", "dusk"),  # photo x dark
    SpreadPair("coffee", "stained-glass"),  # photo x glass
    SpreadPair("astronaut", "expressionist"),  # portrait x oil
    SpreadPair("grace-hopper", "chalk"),  # portrait x pastel
    SpreadPair("hubble", "stained-glass"),  # night x glass
    SpreadPair("rocket", "woodcut-waves"),  # night x lines
    SpreadPair("poster", "ink-and-gold"),  # flat graphic x ink
    SpreadPair("poster", "dusk"),  # flat graphic x dark
    SpreadPair("townscape", "pointillism"),  # line drawing x saturated
    SpreadPair("townscape", "hatching"),  # line drawing x lines
    SpreadPair("gravel", "brushstrokes"),  # texture x oil
    SpreadPair("brick", "chalk"),  # texture x pastel
    SpreadPair("moon", "hatching"),  # flat photo x lines
)

BULK = (
    *PAIRS,
    SpreadPair("china", "dusk"),
    SpreadPair("grace-hopper", "dusk"),
    SpreadPair("rocket", "dusk"),
    SpreadPair("townscape", "brushstrokes"),
    SpreadPair("poster", "stained-glass"),
    SpreadPair("townscape", "stained-glass"),
    SpreadPair("gravel", "stained-glass"),
    SpreadPair("china", "hatching"),
    SpreadPair("grace-hopper", "hatching"),
    SpreadPair("rocket", "hatching"),
)
"""The spread and ten more pairs of its images, because in a bulk run contents and styles recur."""


class PictureMissing(Exception):
    """A package that carries an image is not installed."""


def save_pair(pair: SpreadPair, size_px: int, folder: Path) -> Pair:
    """Save both images as square PNGs in a folder."""
    return Pair(_saved(pair.content, size_px, folder), _saved(pair.style, size_px, folder))


def picture(name: str) -> Image.Image:
    """An image of the spread, of mode RGB.

    Raises:
        PictureMissing: if it is in a package that is not installed.
    """
    if name in PICTURES:
        return drawn(name)
    return opened(_carried(*CARRIED[name]) if name in CARRIED else sample(name))


def _carried(package: str, place: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise PictureMissing(
            f"{place} is in the package {package}, which is not installed: pip install '.[benchmarks]'"
        )
    return Path(found.submodule_search_locations[0]) / place


def _saved(name: str, size_px: int, folder: Path) -> Path:
    target = folder / f"{name}-{size_px}.png"
    if not target.exists():
        square(picture(name), size_px).save(target)
    return target
